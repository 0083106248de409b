import type { Sql } from '@platform/postgres/database.ts';
import type { Reversal } from '../payment.ts';

export type NewReversal = Pick<Reversal, 'id' | 'kind' | 'providerRef' | 'amountMinor' | 'currency'>;

/**
 * Inserts a reversal for the payment (id) in the row of the CTE named `fromCte`, once for each provider
 * reference. Inserts nothing when there is nothing to reverse.
 */
export const insertReversal = (
  sql: Sql,
  reversal: NewReversal | undefined,
  nowMs: number,
  fromCte: string,
) =>
  reversal === undefined || reversal.amountMinor === 0
    ? sql`select`
    : sql`
      insert into reversals
        (id, payment_id, kind, provider_ref, currency, amount_minor, status, timer_at_ms, created_at_ms, updated_at_ms)
      select ${reversal.id}::uuid, id, ${reversal.kind}::text, ${reversal.providerRef}::text,
             ${reversal.currency}::text, ${reversal.amountMinor}::bigint, 'pending', ${nowMs}::bigint,
             ${nowMs}::bigint, ${nowMs}::bigint
      from ${sql(fromCte)}
      on conflict (provider_ref) do nothing`;

export function createReversalStore(sql: Sql) {
  const columns = sql`
    id, payment_id as "paymentId", kind, provider_ref as "providerRef", amount_minor as "amountMinor", currency,
    attempt, key_at_ms as "keyAtMs", fence, attempts`;

  return {
    async add(paymentId: string, reversal: NewReversal, nowMs: number): Promise<void> {
      await sql`
        with payment as (select ${paymentId}::uuid as id),
        added as (${insertReversal(sql, reversal, nowMs, 'payment')})
        select`;
    },

    async claimDue(nowMs: number, leaseUntilMs: number, limit: number): Promise<Reversal[]> {
      return sql<Reversal[]>`
        update reversals
        set timer_at_ms = ${leaseUntilMs}, fence = fence + 1, attempts = attempts + 1,
            key_at_ms = coalesce(key_at_ms, ${nowMs}::bigint)
        where id = any(array(
          select id from reversals where timer_at_ms <= ${nowMs}
          order by timer_at_ms limit ${limit} for update skip locked))
        returning ${columns}`;
    },

    async find(id: string): Promise<Reversal | undefined> {
      const [row] = await sql<Reversal[]>`select ${columns} from reversals where id = ${id}`;
      return row;
    },

    async finish({ id }: Reversal, status: 'done' | 'refused', nowMs: number): Promise<void> {
      await sql`
        update reversals set status = ${status}, timer_at_ms = null, updated_at_ms = ${nowMs}
        where id = ${id} and status = 'pending'`;
    },

    async postpone({ id, fence }: Reversal, timerAtMs: number): Promise<void> {
      await sql`
        update reversals set timer_at_ms = ${timerAtMs}
        where id = ${id} and fence = ${fence} and status = 'pending'`;
    },

    /**
     * The provider may have forgotten the key and lists nothing for it, so the next attempt uses a new key.
     */
    async renewKey({ id, fence }: Reversal, timerAtMs: number): Promise<void> {
      await sql`
        update reversals set attempt = attempt + 1, key_at_ms = null, timer_at_ms = ${timerAtMs}
        where id = ${id} and fence = ${fence} and status = 'pending'`;
    },
  };
}
