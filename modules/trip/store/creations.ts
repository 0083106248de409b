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

/** The first step of a trip with the event that tells of it, and the answer to who asked for it under `key`. */
export interface TripCreation {
  transition: TripTransition;
  event: DomainEvent<TripEventType>;
  key: IdempotencyKey;
  answer: unknown;
}

export type CreationOutcome = 'created' | 'key_used' | 'quote_used' | 'rider_busy';

/**
 * What a creation writes, in one statement: the trip, its history row, its event and its answer, or
 * nothing at all.
 */
export function createCreationWrites(sql: Sql) {
  return {
    async create({ transition, event, key, answer }: TripCreation): Promise<CreationOutcome> {
      try {
        const rows = await sql`
          with claimed as (${claimIdempotencyKey(sql, key, answer, transition.historyEntry.atMs)}),
               moved as (
                 insert into trips
                 select new.* from claimed, jsonb_populate_record(null::trips, ${jsonbParameter(sql, tripRowOf(transition.trip))}::jsonb) as new
                 returning id),
               noted as (${insertHistory(sql, transition)}),
               told as (${insertEvent(sql, event, 'moved')})
          select id from moved`;
        return rows.length === 1 ? 'created' : 'key_used';
      } catch (error) {
        const constraint = violatedConstraint(error);
        if (constraint === 'trips_one_per_quote') return 'quote_used';
        if (constraint === 'trips_one_per_rider') return 'rider_busy';
        throw error;
      }
    },

    /**
     * Writes all that stand in nobody's way, each whole, and gives the ids of their trips. The others are
     * untouched: `create` tells why, since it waits for whoever was there first, and this statement's
     * view of the world is older. Riders must be distinct, and so are then the keys and quotes; they go
     * in order, or two such statements could each wait for the other.
     */
    async createAll(creations: readonly TripCreation[]): Promise<Set<TripId>> {
      const ordered = creations.toSorted((a, b) =>
        a.transition.trip.riderId < b.transition.trip.riderId ? -1 : 1,
      );
      const rows = await sql<{ id: TripId }[]>`
        with asked as (
               select * from json_populate_recordset(null::trips, ${jsonParameter(
                 sql,
                 ordered.map(({ transition }) => tripRowOf(transition.trip)),
               )})),
             keys as materialized (
               select * from json_populate_recordset(null::idempotency, ${jsonParameter(sql, ordered.map(keyRowOf))})),
             -- The limit has each key looked up in the index, however small the table was when this was planned.
             known as materialized (
               select person_id from keys, lateral (
                 select from idempotency as used
                 where used.person_id = keys.person_id and used.key = keys.key limit 1) as found),
             moved as (
               insert into trips
               select * from asked where rider_id not in (select person_id from known)
               on conflict do nothing
               returning id, rider_id),
             claimed as (
               insert into idempotency
               select keys.* from keys join moved on moved.rider_id = keys.person_id),
             noted as (
               insert into trip_history
               select new.*
               from json_populate_recordset(null::trip_history, ${jsonParameter(
                 sql,
                 ordered.map(({ transition }) => historyRowOf(transition.trip.id, transition.historyEntry)),
               )}) as new
               join moved on moved.id = new.trip_id),
             told as (${insertEvents(
               sql,
               ordered.map(({ event }) => event),
               sql`where event.subject::uuid in (select id from moved)`,
             )})
        select id from moved`;
      return new Set(rows.map(({ id }) => id));
    },
  };
}

const keyRowOf = ({ key, answer, transition }: TripCreation) => ({
  person_id: key.personId,
  key: key.key,
  fingerprint: key.fingerprint,
  response: answer,
  at_ms: transition.historyEntry.atMs,
});
