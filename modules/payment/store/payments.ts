import type { PaymentId, TripId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';
import type { PaymentRecord, RideFacts, Viewer } from '../payments.ts';
import { createChargeStore } from './charges.ts';
import { paymentColumns } from './columns.ts';

export function createPaymentRowStore(sql: Sql) {
  return { ...createReads(sql), ...createChargeStore(sql) };
}

function createReads(sql: Sql) {
  const columns = paymentColumns(sql);

  function visibleTo(viewer: Viewer) {
    switch (viewer.role) {
      case 'ops':
        return sql`true`;
      case 'rider':
        return sql`rider_id = ${viewer.id}`;
      case 'driver':
        return sql`driver_id = ${viewer.id}`;
    }
  }

  return {
    async find(id: PaymentId, viewer: Viewer): Promise<PaymentRecord | undefined> {
      const [row] = await sql<PaymentRecord[]>`
        select ${columns} from payments where id = ${id} and ${visibleTo(viewer)}`;
      return row;
    },

    async findByTrip(tripId: TripId, viewer: Viewer): Promise<(PaymentRecord & RideFacts) | undefined> {
      const [row] = await sql<(PaymentRecord & RideFacts)[]>`
        select ${columns}, product, distance_metres as "distanceMetres", duration_seconds as "durationSeconds",
               lines, completed_at_ms as "completedAtMs", captured_at_ms as "capturedAtMs"
        from payments where trip_id = ${tripId} and ${visibleTo(viewer)}`;
      return row;
    },
  };
}
