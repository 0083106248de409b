import type { PaymentId, RiderId, TripId } from '@contracts/ids.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';
import type { ReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import type { PaymentRecord, ReceiptDetails } from '../payment.ts';
import type { Viewer } from '../views.ts';
import { createChargeStore } from './charges.ts';
import { createDebtStore } from './debts.ts';
import { type PaymentRow, parsePayment, paymentColumns } from './rows.ts';
import { createTripChargeStore } from './trip-charges.ts';

export function createPaymentRowStore(database: Database) {
  const sql = database.primary;
  return {
    ...createReads(database),
    ...createTripChargeStore(sql),
    ...createChargeStore(sql),
    ...createDebtStore(sql),
  };
}

function createReads({ primary, read }: Database) {
  const findIn = async (sql: Sql, id: PaymentId, viewer: Viewer): Promise<PaymentRecord | undefined> => {
    const [row] = await sql<PaymentRow[]>`
      select ${paymentColumns(sql)} from payments where id = ${id} and ${visibleTo(sql, viewer)}`;
    return row && parsePayment(row);
  };

  return {
    /** Reads from the primary, for a decision that leads to a write. */
    find: (id: PaymentId) => findIn(primary, id, { role: 'ops' }),

    /** Reads for display, if the viewer may see it. */
    findVisible: (id: PaymentId, viewer: Viewer, token: ReadConsistencyToken) =>
      read(token, (sql) => findIn(sql, id, viewer)),

    async findByTrip(
      tripId: TripId,
      viewer: Viewer,
      token: ReadConsistencyToken,
    ): Promise<{ payment: PaymentRecord; details: ReceiptDetails } | undefined> {
      const [row] = await read(
        token,
        async (sql) => sql<(PaymentRow & ReceiptDetails)[]>`
          select ${paymentColumns(sql)}, product, distance_metres as "distanceMetres",
                 duration_seconds as "durationSeconds", lines, completed_at_ms as "completedAtMs"
          from payments
          where trip_id = ${tripId} and intent = 'charge' and ${visibleTo(sql, viewer)}`,
      );
      return row && { payment: parsePayment(row), details: row };
    },

    /** Newest first, after `cursor`. */
    async list(
      riderId: RiderId,
      {
        status,
        cursor,
        limit,
      }: { status?: PaymentStatus | undefined; cursor: Cursor | undefined; limit: number },
      token: ReadConsistencyToken,
    ): Promise<PaymentRecord[]> {
      const rows = await read(
        token,
        async (sql) => sql<PaymentRow[]>`
          select ${paymentColumns(sql)} from payments
          where rider_id = ${riderId}
            ${status === undefined ? sql`` : sql`and status = ${status}`}
            ${cursor === undefined ? sql`` : sql`and (created_at_ms, id) < (${cursor.atMs}::bigint, ${cursor.id}::uuid)`}
          order by created_at_ms desc, id desc
          limit ${limit}`,
      );
      return rows.map(parsePayment);
    },

    async statusOfTrip(tripId: TripId): Promise<PaymentStatus | undefined> {
      const [row] = await primary<{ status: PaymentStatus }[]>`
        select status from payments where trip_id = ${tripId}`;
      return row?.status;
    },
  };
}

function visibleTo(sql: Sql, viewer: Viewer) {
  switch (viewer.role) {
    case 'ops':
      return sql`true`;
    case 'rider':
      return sql`rider_id = ${viewer.id}`;
    case 'driver':
      return sql`driver_id = ${viewer.id}`;
  }
}
