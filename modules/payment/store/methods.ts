import { formatTimestamp } from '@contracts/common.ts';
import type { PaymentMethodId, RiderId } from '@contracts/ids.ts';
import type { PaymentMethod } from '@contracts/payments.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Database } from '@platform/postgres/database.ts';
import type { ReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import { claimIdempotencyKey, type IdempotencyKey } from '@platform/postgres/statements.ts';

interface MethodRow {
  id: PaymentMethodId;
  kind: 'card';
  label: string;
  createdAtMs: number;
}

export interface NewPaymentMethod extends MethodRow {
  riderId: RiderId;
  token: string;
}

export const showPaymentMethod = ({ id, kind, label, createdAtMs }: MethodRow): PaymentMethod => ({
  id,
  kind,
  label,
  createdAt: formatTimestamp(createdAtMs),
});

export function createMethodStore({ primary: sql, read }: Database) {
  return {
    /** The payment method as stored for `key`; undefined when the key was used before. */
    async create(key: IdempotencyKey, method: NewPaymentMethod): Promise<PaymentMethod | undefined> {
      const { id, riderId, kind, token, label, createdAtMs } = method;
      const answer = showPaymentMethod(method);
      const rows = await sql`
        with claimed as (${claimIdempotencyKey(sql, key, answer, createdAtMs)})
        insert into payment_methods (id, rider_id, kind, token, label, created_at_ms)
        select ${id}::uuid, ${riderId}::uuid, ${kind}::text, ${token}::text, ${label}::text, ${createdAtMs}::bigint
        from claimed
        returning id`;
      return rows.length === 0 ? undefined : answer;
    },

    async count(riderId: RiderId): Promise<number> {
      const [row] = await sql<{ count: number }[]>`
        select count(*)::int as count from payment_methods where rider_id = ${riderId}`;
      return row?.count ?? 0;
    },

    /** The id of the given payment method if it belongs to the rider, or without `id` their newest one. */
    async pick(riderId: RiderId, id: PaymentMethodId | undefined): Promise<PaymentMethodId | undefined> {
      const [row] = await sql<{ id: PaymentMethodId }[]>`
        select id from payment_methods
        where rider_id = ${riderId} ${id === undefined ? sql`` : sql`and id = ${id}`}
        order by created_at_ms desc, id desc
        limit 1`;
      return row?.id;
    },

    /** Newest first, after `cursor`. */
    async list(riderId: RiderId, cursor: Cursor | undefined, limit: number, token: ReadConsistencyToken) {
      return read(token, async (readSql) => {
        const after =
          cursor === undefined
            ? readSql``
            : readSql`and (created_at_ms, id) < (${cursor.atMs}::bigint, ${cursor.id}::uuid)`;
        return readSql<MethodRow[]>`
          select id, kind, label, created_at_ms as "createdAtMs" from payment_methods
          where rider_id = ${riderId} ${after}
          order by created_at_ms desc, id desc
          limit ${limit}`;
      });
    },
  };
}
