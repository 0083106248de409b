import type { PaymentId, PaymentMethodId, RiderId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { claimIdempotencyKey, type IdempotencyKey } from '@platform/postgres/statements.ts';
import type { Charge } from '../payment.ts';
import { insertReversal, type NewReversal } from './reversals.ts';
import { type ChargeRow, chargeColumns, parseCharge } from './rows.ts';

/** A new attempt to pay a debt, started by its rider. */
export interface NewDebtAttempt {
  riderId: RiderId;
  paymentMethodId: PaymentMethodId;
  /** The authorisation of the previous attempt that was not captured. */
  unusedAuthorisation: NewReversal | undefined;
  leaseUntilMs: number;
  nowMs: number;
}

export function createDebtStore(sql: Sql) {
  return {
    /** Finds the oldest payment that the rider owes. */
    async findDebt(riderId: RiderId): Promise<PaymentId | undefined> {
      const [row] = await sql<{ id: PaymentId }[]>`
        select id from payments where rider_id = ${riderId} and debt_since_ms is not null
        order by debt_since_ms limit 1`;
      return row?.id;
    },

    /** Undefined when the payment does not belong to the rider. */
    async findChargeOf(id: PaymentId, riderId: RiderId): Promise<Charge | undefined> {
      const [row] = await sql<ChargeRow[]>`
        select ${chargeColumns(sql)} from payments where id = ${id} and rider_id = ${riderId}`;
      return row && parseCharge(row);
    },

    /**
     * Starts a new attempt with the given payment method, leased to the caller, under `key`. `key_used`:
     * this request was handled before. `changed`: the debt has changed since it was read, and nothing was
     * written, not even the key.
     */
    async beginAttempt(
      charge: Charge,
      key: IdempotencyKey,
      { riderId, paymentMethodId, unusedAuthorisation, leaseUntilMs, nowMs }: NewDebtAttempt,
    ): Promise<'begun' | 'key_used' | 'changed'> {
      const { id, fence, attempt } = charge;
      const [row] = await sql<{ targets: number; begun: number }[]>`
        with target as (
          select id from payments
          where id = ${id} and rider_id = ${riderId} and status = 'failed' and fence = ${fence}
            and attempt = ${attempt} and exists (
              select from payment_methods where id = ${paymentMethodId} and rider_id = ${riderId})
          for update
        ), claimed as (${claimIdempotencyKey(sql, key, { attempt: attempt + 1 }, nowMs, 'target')}),
        begun as (
          update payments
          set payment_method_id = ${paymentMethodId}, attempt = attempt + 1, authorisation_ref = null,
              authorise_minor = amount_minor, key_at_ms = ${nowMs}, sent_at_ms = ${nowMs},
              timer_at_ms = ${leaseUntilMs}, fence = fence + 1, attempts = 1, updated_at_ms = ${nowMs}
          where id in (select id from target) and exists (select from claimed)
          returning id
        ), released as (${insertReversal(sql, unusedAuthorisation, nowMs, 'begun')})
        select (select count(*) from target)::int as targets, (select count(*) from begun)::int as begun`;
      if (row === undefined || row.targets === 0) return 'changed';
      return row.begun > 0 ? 'begun' : 'key_used';
    },
  };
}
