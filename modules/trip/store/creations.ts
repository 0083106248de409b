import type { DomainEvent, TripEventType } from '@contracts/events.ts';
import type { TripId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';
import {
  claimKey,
  type IdempotencyKey,
  insertEvent,
  insertEvents,
  json,
  plainJson,
  violatedConstraint,
} from '@platform/postgres/statements.ts';
import type { Step } from '../state.ts';
import { historyRowOf, rowOf } from './rows.ts';
import { insertHistory } from './steps.ts';

/** The first step of a trip with the event that tells of it, and the answer to who asked for it under `key`. */
export interface Creation {
  step: Step;
  event: DomainEvent<TripEventType>;
  key: IdempotencyKey;
  answer: unknown;
}

export type Created = 'created' | 'key_used' | 'quote_used' | 'rider_busy';

/**
 * What a creation writes, in one statement: the trip, its history row, its event and its answer, or
 * nothing at all.
 */
export function createCreationWrites(sql: Sql) {
  return {
    async create({ step, event, key, answer }: Creation): Promise<Created> {
      try {
        const rows = await sql`
          with claimed as (${claimKey(sql, key, answer, step.entry.atMs)}),
               moved as (
                 insert into trips
                 select new.* from claimed, jsonb_populate_record(null::trips, ${json(sql, rowOf(step.trip))}::jsonb) as new
                 returning id),
               noted as (${insertHistory(sql, step)}),
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
    async createAll(creations: readonly Creation[]): Promise<Set<TripId>> {
      const ordered = creations.toSorted((a, b) => (a.step.trip.riderId < b.step.trip.riderId ? -1 : 1));
      const rows = await sql<{ id: TripId }[]>`
        with asked as (
               select * from json_populate_recordset(null::trips, ${plainJson(
                 sql,
                 ordered.map(({ step }) => rowOf(step.trip)),
               )})),
             keys as materialized (
               select * from json_populate_recordset(null::idempotency, ${plainJson(sql, ordered.map(keyRowOf))})),
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
               from json_populate_recordset(null::trip_history, ${plainJson(
                 sql,
                 ordered.map(({ step }) => historyRowOf(step.trip.id, step.entry)),
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

const keyRowOf = ({ key, answer, step }: Creation) => ({
  person_id: key.personId,
  key: key.key,
  fingerprint: key.fingerprint,
  response: answer,
  at_ms: step.entry.atMs,
});
