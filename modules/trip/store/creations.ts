import type { DomainEvent, TripEventType } from '@contracts/events.ts';
import type { TripId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';
import {
  claimIdempotencyKey,
  type IdempotencyKey,
  insertEvent,
  insertEvents,
  jsonbParameter,
  jsonParameter,
  violatedConstraint,
} from '@platform/postgres/statements.ts';
import type { TripTransition } from '../state.ts';
import { historyRowOf, tripRowOf } from './rows.ts';
import { insertHistory } from './transitions.ts';

/** The first transition of a trip with its event, and the response to store under the idempotency key. */
export interface TripCreation {
  transition: TripTransition;
  event: DomainEvent<TripEventType>;
  key: IdempotencyKey;
  response: unknown;
}

export type CreationOutcome = 'created' | 'key_used' | 'quote_used' | 'rider_busy';

/** Writes a creation in one statement: the trip, its history row, its outbox entry and the response, or nothing. */
export function createCreationWrites(sql: Sql) {
  return {
    async create({ transition, event, key, response }: TripCreation): Promise<CreationOutcome> {
      try {
        const rows = await sql`
          with claimed as (${claimIdempotencyKey(sql, key, response, transition.historyEntry.atMs)}),
               written as (
                 insert into trips
                 select new.* from claimed, jsonb_populate_record(null::trips, ${jsonbParameter(sql, tripRowOf(transition.trip))}::jsonb) as new
                 returning id),
               history as (${insertHistory(sql, transition)}),
               event_written as (${insertEvent(sql, event, 'written')})
          select id from written`;
        return rows.length === 1 ? 'created' : 'key_used';
      } catch (error) {
        const constraint = violatedConstraint(error);
        if (constraint === 'trips_one_per_quote') return 'quote_used';
        if (constraint === 'trips_one_per_rider') return 'rider_busy';
        throw error;
      }
    },

    /**
     * Writes the creations that conflict with nothing, each one completely, and returns the ids of their
     * trips. It writes nothing of the others, and does not say why: its snapshot may be older than the
     * conflicting row, while `create` waits for that row. Riders must be distinct, and so are then the
     * keys and quotes. Rows are written in the order of rider ids, so that two such statements can't
     * deadlock.
     */
    async createAll(creations: readonly TripCreation[]): Promise<Set<TripId>> {
      const ordered = creations.toSorted((a, b) =>
        a.transition.trip.riderId < b.transition.trip.riderId ? -1 : 1,
      );
      const rows = await sql<{ id: TripId }[]>`
        with new_trips as (
               select * from json_populate_recordset(null::trips, ${jsonParameter(
                 sql,
                 ordered.map(({ transition }) => tripRowOf(transition.trip)),
               )})),
             keys as materialized (
               select * from json_populate_recordset(null::idempotency, ${jsonParameter(sql, ordered.map(keyRowOf))})),
             -- The limit makes the plan look up each key in the index, even if it was planned on a small table.
             used_keys as materialized (
               select person_id from keys, lateral (
                 select from idempotency as used
                 where used.person_id = keys.person_id and used.key = keys.key limit 1) as found),
             written as (
               insert into trips
               select * from new_trips where rider_id not in (select person_id from used_keys)
               on conflict do nothing
               returning id, rider_id),
             claimed as (
               insert into idempotency
               select keys.* from keys join written on written.rider_id = keys.person_id),
             history as (
               insert into trip_history
               select new.*
               from json_populate_recordset(null::trip_history, ${jsonParameter(
                 sql,
                 ordered.map(({ transition }) => historyRowOf(transition.trip.id, transition.historyEntry)),
               )}) as new
               join written on written.id = new.trip_id),
             event_written as (${insertEvents(
               sql,
               ordered.map(({ event }) => event),
               sql`where event.subject::uuid in (select id from written)`,
             )})
        select id from written`;
      return new Set(rows.map(({ id }) => id));
    },
  };
}

const keyRowOf = ({ key, response, transition }: TripCreation) => ({
  person_id: key.personId,
  key: key.key,
  fingerprint: key.fingerprint,
  response,
  at_ms: transition.historyEntry.atMs,
});
