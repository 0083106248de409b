import type { DomainEvent } from '@contracts/events.ts';
import type { EventId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { claimEvent, insertEvent, jsonbParameter } from '@platform/postgres/statements.ts';
import type { CompletedCharge, PaymentIntent, TripCharge } from '../payment.ts';
import { type NewTransfer, postTransfer } from './ledger.ts';

/** The event that is handled, for the inbox. */
export interface HandledEvent {
  consumer: string;
  eventId: EventId;
  nowMs: number;
}

/**
 * `declined`: applied, and the outbox holds an event about it. `applied_before`: this event was handled
 * before, or another one has already decided the same payment.
 */
export type HandlingResult = 'applied' | 'declined' | 'applied_before';

/**
 * Applies trip events to the payment of their trip. The events may come in any order: the first one creates
 * the row, and the end of the trip (`charge` or `void`) replaces `hold` for good.
 */
export function createTripChargeStore(sql: Sql) {
  return { ...createHold(sql), ...createEnds(sql) };
}

function createHold(sql: Sql) {
  return {
    /**
     * The trip was requested: its fare is authorised next. A rider who owes another payment is declined
     * instead, with the event `declined`.
     */
    async holdForTrip(
      { consumer, eventId, nowMs }: HandledEvent,
      charge: TripCharge,
      authoriseMinor: number,
      declined: DomainEvent<'payment.declined.v1'>,
    ): Promise<HandlingResult> {
      const [created] = await sql<{ status: 'none' | 'declined' }[]>`
        with claimed as (${claimEvent(sql, consumer, eventId, nowMs)}),
        rider as (
          select exists (
            select from payments where rider_id = ${charge.riderId} and debt_since_ms is not null) as owes
          from claimed
        ), created as (
          insert into payments (${columns(sql)}, authorise_minor, failure_reason)
          select ${values(sql, charge, 'hold', nowMs)},
                 case when owes then 'declined' else 'none' end,
                 case when owes then null else ${nowMs}::bigint end,
                 ${authoriseMinor}::bigint, case when owes then ${declined.data.failureReason}::text end
          from rider
          on conflict (trip_id) do nothing
          returning id, version, status
        ), recorded as (${insertFirstHistory(sql, nowMs, sql`created`)}),
        refused as (select id from created where status = 'declined'),
        published as (${insertEvent(sql, declined, 'refused')})
        select status from created`;
      if (created === undefined) return 'applied_before';
      return created.status === 'declined' ? 'declined' : 'applied';
    },
  };
}

function createEnds(sql: Sql) {
  return {
    /** The trip was completed: the driver is credited, and the final fare is charged next. */
    async chargeForTrip(
      { consumer, eventId, nowMs }: HandledEvent,
      charge: CompletedCharge,
      fare: NewTransfer,
    ): Promise<HandlingResult> {
      const rows = await sql`
        with claimed as (${claimEvent(sql, consumer, eventId, nowMs)}),
        changed as (
          insert into payments (${columns(sql)}, authorise_minor, driver_id, commission_minor, completed_at_ms)
          select ${values(sql, charge, 'charge', nowMs)}, 'none', ${nowMs}::bigint,
                 ${charge.amount.amountMinor}::bigint, ${charge.driverId}::uuid,
                 ${charge.commissionMinor}::bigint, ${charge.completedAtMs}::bigint
          from claimed
          on conflict (trip_id) do update
          set intent = 'charge', driver_id = excluded.driver_id, completed_at_ms = excluded.completed_at_ms,
              amount_minor = excluded.amount_minor, commission_minor = excluded.commission_minor,
              distance_metres = excluded.distance_metres, duration_seconds = excluded.duration_seconds,
              lines = excluded.lines, attempts = 0, timer_at_ms = excluded.timer_at_ms,
              updated_at_ms = excluded.updated_at_ms,
              -- A key that was sent keeps the amount that it was sent with.
              authorise_minor = case
                when payments.key_at_ms is null and payments.authorisation_ref is null then excluded.authorise_minor
                else payments.authorise_minor end
          where payments.intent = 'hold'
          returning id, version, status, xmax = 0 as is_new
        ), recorded as (${insertFirstHistory(sql, nowMs, sql`changed where is_new`)}),
        ${postTransfer(sql, fare, nowMs, 'changed')}
        select id from changed`;
      return rows.length > 0 ? 'applied' : 'applied_before';
    },

    /** The trip ended without a ride: its authorisation is voided next. */
    async voidForTrip(
      { consumer, eventId, nowMs }: HandledEvent,
      charge: TripCharge,
    ): Promise<HandlingResult> {
      const rows = await sql`
        with claimed as (${claimEvent(sql, consumer, eventId, nowMs)}),
        changed as (
          insert into payments (${columns(sql)})
          select ${values(sql, charge, 'void', nowMs)}, 'voided', null::bigint
          from claimed
          on conflict (trip_id) do update
          set intent = 'void', attempts = 0, updated_at_ms = excluded.updated_at_ms,
              timer_at_ms = case when payments.status = 'declined' then null else excluded.updated_at_ms end
          where payments.intent = 'hold'
          returning id, version, status, xmax = 0 as is_new
        ), recorded as (${insertFirstHistory(sql, nowMs, sql`changed where is_new`)})
        select id from changed`;
      return rows.length > 0 ? 'applied' : 'applied_before';
    },
  };
}

const columns = (sql: Sql) => sql`
  id, trip_id, rider_id, payment_method_id, intent, version, currency, amount_minor, product, distance_metres,
  duration_seconds, lines, created_at_ms, updated_at_ms, status, timer_at_ms`;

/** The values for all of `columns` but the last two. */
const values = (sql: Sql, charge: TripCharge, intent: PaymentIntent, nowMs: number) => sql`
  ${charge.id}::uuid, ${charge.tripId}::uuid, ${charge.riderId}::uuid, ${charge.paymentMethodId}::uuid,
  ${intent}::text, 1, ${charge.amount.currency}::text, ${charge.amount.amountMinor}::bigint,
  ${charge.product}::text, ${charge.distanceMetres}::int, ${charge.durationSeconds}::int,
  ${jsonbParameter(sql, charge.lines)}::jsonb, ${nowMs}::bigint, ${nowMs}::bigint`;

/** Inserts the first history row of the payments in `from` (id, version, status). */
const insertFirstHistory = (sql: Sql, nowMs: number, from: ReturnType<Sql>) => sql`
  insert into payment_history (payment_id, version, from_status, to_status, at_ms)
  select id, version, null, status, ${nowMs}::bigint from ${from}`;
