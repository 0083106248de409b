import type { DomainEvent } from '@contracts/events.ts';
import type { EventId, PaymentId } from '@contracts/ids.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { claimEvent, insertEvent, json } from '@platform/postgres/statements.ts';
import type { Charge, NewPayment } from '../payments.ts';
import { insertHistory, paymentColumns } from './columns.ts';
import { type NewTransfer, postTransfer } from './ledger.ts';

/**
 * The steps of a charge. What the provider has answered is true whoever brings it, so a step forward is
 * guarded by the state alone; putting off and giving up are a worker's opinion, and need its fence.
 */
export function createChargeStore(sql: Sql) {
  return { ...createClaims(sql), ...createSteps(sql) };
}

function createClaims(sql: Sql) {
  const charge = sql`
    ${paymentColumns(sql)}, payments.fence, payments.attempts,
    (select token from payment_methods m
     where m.id = payments.payment_method_id and m.rider_id = payments.rider_id) as token`;

  return {
    /** False when the event was applied before or the trip has its payment. */
    async createForTrip(
      consumer: string,
      eventId: EventId,
      payment: NewPayment,
      nowMs: number,
    ): Promise<boolean> {
      const rows = await sql`
        with claimed as (${claimEvent(sql, consumer, eventId, nowMs)}),
        created as (
          insert into payments
            (id, trip_id, rider_id, driver_id, payment_method_id, status, version, currency, amount_minor,
             commission_minor, product, distance_metres, duration_seconds, lines, completed_at_ms,
             timer_at_ms, created_at_ms, updated_at_ms)
          select ${payment.id}::uuid, ${payment.tripId}::uuid, ${payment.riderId}::uuid,
                 ${payment.driverId}::uuid, ${payment.paymentMethodId}::uuid, 'none', 1,
                 ${payment.amount.currency}::text, ${payment.amount.amountMinor}::bigint,
                 ${payment.commissionMinor}::bigint, ${payment.product}::text, ${payment.distanceMetres}::int,
                 ${payment.durationSeconds}::int, ${json(sql, payment.lines)}::jsonb,
                 ${payment.completedAtMs}::bigint, ${nowMs}::bigint, ${nowMs}::bigint, ${nowMs}::bigint
          from claimed
          on conflict (trip_id) do nothing
          returning id, version
        ), noted as (${insertHistory(sql, { from: null, to: 'none' }, nowMs, 'created')})
        select id from created`;
      return rows.length > 0;
    },

    /** Takes due charges until `leaseUntilMs`; other instances pass by the rows that are being taken. */
    async claimDue(nowMs: number, leaseUntilMs: number, limit: number): Promise<Charge[]> {
      return sql<Charge[]>`
        update payments
        set timer_at_ms = ${leaseUntilMs}, fence = fence + 1, attempts = attempts + 1
        where id = any(array(
          select id from payments where timer_at_ms <= ${nowMs}
          order by timer_at_ms limit ${limit} for update skip locked))
        returning ${charge}`;
    },

    async findCharge(id: PaymentId): Promise<Charge | undefined> {
      const [row] = await sql<Charge[]>`select ${charge} from payments where id = ${id}`;
      return row;
    },

    /** Somebody is to try again at `timerAtMs`. */
    async postpone({ id, fence }: { id: PaymentId; fence: number }, timerAtMs: number): Promise<void> {
      await sql`
        update payments set timer_at_ms = ${timerAtMs}
        where id = ${id} and fence = ${fence} and timer_at_ms is not null`;
    },
  };
}

/** Each gives false when the payment is past that step already. */
function createSteps(sql: Sql) {
  return {
    /** `none` → `authorised`; somebody is to go on at `timerAtMs`. */
    async authorise(id: PaymentId, ref: string, timerAtMs: number, nowMs: number): Promise<boolean> {
      const rows = await sql`
        with changed as (
          update payments
          set status = 'authorised', version = version + 1, authorisation_ref = ${ref}, attempts = 1,
              timer_at_ms = ${timerAtMs}, updated_at_ms = ${nowMs}
          where id = ${id} and status = 'none'
          returning id, version
        ), noted as (${insertHistory(sql, { from: 'none', to: 'authorised' }, nowMs, 'changed')})
        select id from changed`;
      return rows.length > 0;
    },

    /** `authorised` → `captured`, with its ledger entries and its event. */
    async capture(
      id: PaymentId,
      ref: string,
      transfer: NewTransfer,
      event: DomainEvent<'payment.captured.v1'>,
      nowMs: number,
    ): Promise<boolean> {
      const rows = await sql`
        with changed as (
          update payments
          set status = 'captured', version = version + 1, capture_ref = ${ref}, captured_at_ms = ${nowMs},
              timer_at_ms = null, updated_at_ms = ${nowMs}
          where id = ${id} and status = 'authorised'
          returning id, version
        ), noted as (${insertHistory(sql, { from: 'authorised', to: 'captured' }, nowMs, 'changed')}),
        ${postTransfer(sql, transfer, nowMs, 'changed')},
        told as (${insertEvent(sql, event, 'changed')})
        select id from changed`;
      return rows.length > 0;
    },

    /**
     * `from` → `failed`, for a reason the provider gave; or, with a fence, for one that this worker found.
     * False also when another worker has taken over.
     */
    async fail(
      { id, from, reason, fence }: { id: PaymentId; from: PaymentStatus; reason: string; fence?: number },
      event: DomainEvent<'payment.failed.v1'>,
      nowMs: number,
    ): Promise<boolean> {
      const rows = await sql`
        with changed as (
          update payments
          set status = 'failed', version = version + 1, failure_reason = ${reason}, timer_at_ms = null,
              updated_at_ms = ${nowMs}
          where id = ${id} and status = ${from} ${fence === undefined ? sql`` : sql`and fence = ${fence}`}
          returning id, version
        ), noted as (${insertHistory(sql, { from, to: 'failed', reason }, nowMs, 'changed')}),
        told as (${insertEvent(sql, event, 'changed')})
        select id from changed`;
      return rows.length > 0;
    },
  };
}
