import type { DomainEvent } from '@contracts/events.ts';
import type { PersonId, RefundId } from '@contracts/ids.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import type { Sql } from '@platform/postgres/database.ts';
import {
  claimIdempotencyKey,
  type IdempotencyKey,
  insertEvent,
  violatedConstraint,
} from '@platform/postgres/statements.ts';
import { type CapturedPayment, isCaptured, type RefundRecord } from '../payment.ts';
import { showRefund } from '../views.ts';
import { type NewTransfer, postTransfer } from './ledger.ts';
import { insertPaymentHistory, type PaymentRow, parsePayment, paymentColumns } from './rows.ts';

/** A refund with its payment. */
export interface RefundWithPayment {
  refund: RefundRecord;
  payment: CapturedPayment;
}

export interface RefundSettlement {
  providerRef: string;
  /**
   * The `refundedMinor` of the payment that the transfer was computed from; a concurrent settlement makes
   * it stale.
   */
  refundedBeforeMinor: number;
  status: Extract<PaymentStatus, 'captured' | 'refunded'>;
  transfer: NewTransfer;
  event: DomainEvent<'payment.refunded.v1'>;
}

export type RefundAcceptance = 'accepted' | 'key_used' | 'too_large';

export function createRefundStore(sql: Sql) {
  return { ...createAcceptance(sql), ...createClaims(sql), ...createEndings(sql) };
}

function createAcceptance(sql: Sql) {
  return {
    /**
     * Reserves the amount and stores the refund, leased to the caller, as the response for `key`. A
     * constraint of the payment row ensures that refunds never exceed the payment: of two that do not fit
     * together one is rejected, and it leaves nothing behind, not even its key.
     */
    async accept(
      key: IdempotencyKey,
      refund: RefundRecord,
      by: PersonId,
      leaseUntilMs: number,
    ): Promise<RefundAcceptance> {
      const { id, paymentId, amountMinor, reason, fence, attempts, createdAtMs: nowMs } = refund;
      try {
        const rows = await sql`
          with claimed as (${claimIdempotencyKey(sql, key, showRefund(refund), nowMs)}),
          reserved as (
            update payments set refunding_minor = refunding_minor + ${amountMinor}, updated_at_ms = ${nowMs}
            where id = ${paymentId} and exists (select from claimed)
            returning id
          )
          insert into refunds
            (id, payment_id, amount_minor, reason, requested_by, status, timer_at_ms, fence, attempts, attempt,
             key_at_ms, created_at_ms, updated_at_ms)
          select ${id}::uuid, id, ${amountMinor}::bigint, ${reason}::text, ${by}::uuid, 'pending',
                 ${leaseUntilMs}::bigint, ${fence}::int, ${attempts}::int, ${refund.attempt}::int,
                 ${refund.keyAtMs}::bigint, ${nowMs}::bigint, ${nowMs}::bigint
          from reserved
          returning id`;
        return rows.length > 0 ? 'accepted' : 'key_used';
      } catch (error) {
        if (violatedConstraint(error) === 'payments_refunds_fit') return 'too_large';
        throw error;
      }
    },
  };
}

function createClaims(sql: Sql) {
  const columns = sql`
    refunds.id, refunds.payment_id as "paymentId", refunds.amount_minor as "amountMinor", payments.currency,
    refunds.reason, refunds.status, refunds.fence, refunds.attempts, refunds.attempt,
    refunds.key_at_ms as "keyAtMs", refunds.created_at_ms as "createdAtMs"`;

  return {
    async claimDue(nowMs: number, leaseUntilMs: number, limit: number): Promise<{ id: RefundId }[]> {
      return sql<{ id: RefundId }[]>`
        update refunds
        set timer_at_ms = ${leaseUntilMs}, fence = fence + 1, attempts = attempts + 1
        where id = any(array(
          select id from refunds where timer_at_ms <= ${nowMs}
          order by timer_at_ms limit ${limit} for update skip locked))
        returning id`;
    },

    async find(id: RefundId): Promise<RefundWithPayment | undefined> {
      const [row] = await sql<{ refund: RefundRecord; payment: PaymentRow }[]>`
        select
          (select to_jsonb(r) from (select ${columns}) r) as refund,
          (select to_jsonb(p) from (select ${paymentColumns(sql)}) p) as payment
        from refunds join payments on payments.id = refunds.payment_id
        where refunds.id = ${id}`;
      if (row === undefined) return undefined;
      const payment = parsePayment(row.payment);
      if (!isCaptured(payment)) throw new Error(`refund ${id} is of a payment that is ${payment.status}`);
      return { refund: row.refund, payment };
    },

    /**
     * The provider may have forgotten the key and lists nothing for it, so the next attempt uses a new key.
     */
    async renewKey({ id, fence }: RefundRecord, nowMs: number, timerAtMs: number): Promise<void> {
      await sql`
        update refunds set attempt = attempt + 1, key_at_ms = ${nowMs}, timer_at_ms = ${timerAtMs}
        where id = ${id} and fence = ${fence} and timer_at_ms is not null`;
    },

    /** Makes the refund due again at `timerAtMs`. */
    async postpone({ id, fence }: { id: RefundId; fence: number }, timerAtMs: number): Promise<void> {
      await sql`
        update refunds set timer_at_ms = ${timerAtMs}
        where id = ${id} and fence = ${fence} and timer_at_ms is not null`;
    },
  };
}

function createEndings(sql: Sql) {
  return {
    /**
     * Settles the refund on the payment, in the ledger and with its event. Returns false when the
     * settlement was stale.
     */
    async settle(
      { refund, payment }: RefundWithPayment,
      settlement: RefundSettlement,
      nowMs: number,
    ): Promise<boolean> {
      const { providerRef, refundedBeforeMinor, status, transfer, event } = settlement;
      const rows = await sql`
        with paid as (
          update payments
          set refunded_minor = refunded_minor + ${refund.amountMinor},
              refunding_minor = refunding_minor - ${refund.amountMinor},
              status = ${status}, version = version + 1, updated_at_ms = ${nowMs}
          where id = ${payment.id} and refunded_minor = ${refundedBeforeMinor}
            and exists (select from refunds where id = ${refund.id} and status = 'pending')
          returning id, version
        ), recorded as (${insertPaymentHistory(sql, { from: 'captured', to: status, reason: refund.reason }, nowMs, 'paid')}),
        settled as (
          update refunds
          set status = 'settled', provider_ref = ${providerRef}, timer_at_ms = null, updated_at_ms = ${nowMs}
          where id = ${refund.id} and exists (select from paid)
        ),
        ${postTransfer(sql, transfer, nowMs, 'paid')},
        published as (${insertEvent(sql, event, 'paid')})
        select id from paid`;
      return rows.length > 0;
    },

    /** The provider declined the refund, so the reserved amount is released. */
    async fail(refund: RefundRecord, reason: string, nowMs: number): Promise<void> {
      await sql`
        with failed as (
          update refunds
          set status = 'failed', failure_reason = ${reason}, timer_at_ms = null, updated_at_ms = ${nowMs}
          where id = ${refund.id} and status = 'pending'
          returning payment_id, amount_minor
        )
        update payments set refunding_minor = refunding_minor - failed.amount_minor, updated_at_ms = ${nowMs}
        from failed where payments.id = failed.payment_id`;
    },
  };
}
