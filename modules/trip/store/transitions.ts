import type { DomainEvent, TripEventType } from '@contracts/events.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { insertEvent, jsonbParameter, violatedConstraint } from '@platform/postgres/statements.ts';
import type { DispatchDecision } from '../dispatch/choices.ts';
import type { TripTransition } from '../state.ts';
import type { HistoryEntry } from '../trip.ts';
import { historyRowOf, tripRowOf } from './rows.ts';

/** A transition with its event and, for an offer, the dispatch decision. */
export interface TransitionWrite {
  transition: TripTransition;
  event: DomainEvent<TripEventType>;
  decision?: DispatchDecision;
}

/** `stale`: the trip has changed since it was read. `driver_taken`: the driver has another trip or offer. */
export type SaveOutcome = 'saved' | 'stale' | 'driver_taken';

/**
 * Writes a transition in one statement: the trip under its version fence, the history row and the outbox
 * entry, or nothing. Each row is sent as one jsonb parameter.
 */
export function createTransitionWrites(sql: Sql) {
  return {
    async saveTransition({ transition, event, decision }: TransitionWrite): Promise<SaveOutcome> {
      const { trip, historyEntry } = transition;
      try {
        const rows = await sql`
          with written as (
                 update trips
                 set version = next.version, status = next.status, timer_at_ms = next.timer_at_ms,
                     offered_driver_id = next.offered_driver_id, offer_expires_at_ms = next.offer_expires_at_ms,
                     asked_driver_ids = next.asked_driver_ids, driver_id = next.driver_id,
                     vehicle = next.vehicle, rider_rating = next.rider_rating,
                     driver_name = next.driver_name, driver_rating = next.driver_rating,
                     pickup_lat = next.pickup_lat, pickup_lng = next.pickup_lng,
                     ended_by = next.ended_by, end_reason = next.end_reason,
                     search_until_ms = next.search_until_ms,
                     updated_at_ms = next.updated_at_ms
                 from jsonb_populate_record(null::trips, ${jsonbParameter(sql, tripRowOf(trip))}::jsonb) as next
                 where trips.id = ${trip.id} and trips.version = ${trip.version - 1}
                   and trips.wrong_start_codes = next.wrong_start_codes
                 returning trips.id),
               history as (${insertHistory(sql, transition)}),
               decided as (${decision === undefined ? sql`select` : insertDecision(sql, historyEntry, decision)}),
               event_written as (${insertEvent(sql, event, 'written')})
          select id from written`;
        return rows.length === 1 ? 'saved' : 'stale';
      } catch (error) {
        if (violatedConstraint(error) === 'trips_one_per_driver') return 'driver_taken';
        throw error;
      }
    },
  };
}

export const insertHistory = (sql: Sql, { trip, historyEntry }: TripTransition) => sql`
  insert into trip_history
  select new.* from written, jsonb_populate_record(null::trip_history, ${jsonbParameter(sql, historyRowOf(trip.id, historyEntry))}::jsonb) as new`;

const insertDecision = (sql: Sql, { version, atMs }: HistoryEntry, decision: DispatchDecision) => sql`
  insert into trip_decisions (trip_id, version, decision, at_ms)
  select id, ${version}, ${jsonbParameter(sql, decision)}::jsonb, ${atMs} from written`;
