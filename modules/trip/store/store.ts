import type { DomainEvent, TripEventType } from '@contracts/events.ts';
import type { RiderId, TripId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';
import {
  claimKey,
  findAnswer,
  type IdempotencyKey,
  insertEvent,
  json,
  violatedConstraint,
} from '@platform/postgres/statements.ts';
import type { Decision } from '../dispatch/choose.ts';
import type { Step } from '../state.ts';
import type { By, HistoryEntry, Trip } from '../trip.ts';
import { type HistoryRow, historyEntryOf, historyRowOf, rowOf, type TripRow, tripOf } from './rows.ts';

/** A step with the event that tells of it and, for an offer, why this driver. */
export interface Write {
  step: Step;
  event: DomainEvent<TripEventType>;
  decision?: Decision;
}

/** `stale`: the trip has moved on since it was read. `driver_taken`: another trip has the driver. */
export type Saved = 'saved' | 'stale' | 'driver_taken';
export type Created = 'created' | 'key_used' | 'quote_used' | 'rider_busy';
export type Person = Exclude<By, { actor: 'system' }>;

export interface TripList {
  by: Person;
  status?: TripStatus | undefined;
  after?: Cursor | undefined;
  limit: number;
}

export type TripStore = ReturnType<typeof createTripStore>;

/**
 * The trips in PostgreSQL. Each write is one statement: the trip under its fence, its history row and
 * its event, or nothing at all. A row travels as one jsonb parameter.
 */
export function createTripStore(database: Database) {
  const sql = database.primary;
  // Who has just written must read it: until reads carry the position of that write, they stay here.
  const reads = database.primary;

  return {
    async create({ step, event }: Write, key: IdempotencyKey, answer: unknown): Promise<Created> {
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

    findAnswer: <Answer>(key: IdempotencyKey) => findAnswer<Answer>(sql, key),

    async save({ step, event, decision }: Write): Promise<Saved> {
      const { trip, entry } = step;
      try {
        const rows = await sql`
          with moved as (
                 update trips
                 set version = next.version, status = next.status, timer_at_ms = next.timer_at_ms,
                     offered_driver_id = next.offered_driver_id, offer_expires_at_ms = next.offer_expires_at_ms,
                     asked_driver_ids = next.asked_driver_ids, driver_id = next.driver_id,
                     vehicle = next.vehicle, ended_by = next.ended_by, end_reason = next.end_reason,
                     updated_at_ms = next.updated_at_ms
                 from jsonb_populate_record(null::trips, ${json(sql, rowOf(trip))}::jsonb) as next
                 where trips.id = ${trip.id} and trips.version = ${trip.version - 1}
                   and trips.wrong_start_codes = next.wrong_start_codes
                 returning trips.id),
               noted as (${insertHistory(sql, step)}),
               audited as (${decision === undefined ? sql`select` : insertDecision(sql, entry, decision)}),
               told as (${insertEvent(sql, event, 'moved')})
          select id from moved`;
        return rows.length === 1 ? 'saved' : 'stale';
      } catch (error) {
        if (violatedConstraint(error) === 'trips_one_per_driver') return 'driver_taken';
        throw error;
      }
    },

    async find(tripId: TripId): Promise<Trip | undefined> {
      const [row] = await sql<TripRow[]>`select * from trips where id = ${tripId}`;
      return row && tripOf(row);
    },

    /** Undefined also when the trip is none of theirs. */
    async findOf(tripId: TripId, { id }: Person): Promise<Trip | undefined> {
      const [row] = await reads<TripRow[]>`
        select * from trips where id = ${tripId} and ${isTheirs(reads, id)}`;
      return row && tripOf(row);
    },

    /** For those who were asked at any time: they may answer late, and hear that it is too late. */
    async findAsked(tripId: TripId, { id }: Person): Promise<Trip | undefined> {
      const [row] = await sql<TripRow[]>`
        select * from trips where id = ${tripId} and ${id} = any (asked_driver_ids)`;
      return row && tripOf(row);
    },

    /** Newest first. A driver's trips go by their last change, since that is when they took them. */
    async list({ by, status, after, limit }: TripList): Promise<Trip[]> {
      const [person, time] =
        by.actor === 'rider'
          ? [reads`rider_id`, reads`created_at_ms`]
          : [reads`driver_id`, reads`updated_at_ms`];
      const rows = await reads<TripRow[]>`
        select * from trips
        where ${person} = ${by.id}
          ${status === undefined ? reads`` : reads`and status = ${status}`}
          ${after === undefined ? reads`` : reads`and (${time}, id) < (${after.atMs}, ${after.id})`}
        order by ${time} desc, id desc
        limit ${limit}`;
      return rows.map(tripOf);
    },

    /** Empty when the trip is none of theirs. */
    async history(tripId: TripId, { id }: Person): Promise<HistoryEntry[]> {
      const rows = await reads<HistoryRow[]>`
        select * from trip_history
        where trip_id = ${tripId}
          and exists (select from trips where id = ${tripId} and ${isTheirs(reads, id)})
        order by version`;
      return rows.map(historyEntryOf);
    },

    /** False when the trip is not theirs, not completed, or rated by them before. */
    async rate(tripId: TripId, by: Person, stars: number, comment: string | null): Promise<boolean> {
      const rows =
        by.actor === 'rider'
          ? await sql`
              update trips set rating_by_rider = ${stars}, comment_by_rider = ${comment}
              where id = ${tripId} and rider_id = ${by.id} and status = 'completed' and rating_by_rider is null
              returning id`
          : await sql`
              update trips set rating_by_driver = ${stars}, comment_by_driver = ${comment}
              where id = ${tripId} and driver_id = ${by.id} and status = 'completed' and rating_by_driver is null
              returning id`;
      return rows.length === 1;
    },

    /**
     * Counts a wrong start code. False when another guess was counted meanwhile: guesses go one by one,
     * or a burst of them would all pass before the first is counted.
     */
    async countWrongCode(trip: Trip, blockedUntilMs: number): Promise<boolean> {
      const rows = await sql`
        update trips
        set wrong_start_codes = wrong_start_codes + 1, start_blocked_until_ms = ${blockedUntilMs}
        where id = ${trip.id} and version = ${trip.version} and wrong_start_codes = ${trip.wrongStartCodes}
        returning id`;
      return rows.length === 1;
    },

    /**
     * Takes trips whose timer is due, each for one caller: their timers are moved to `againAtMs`, so a
     * caller that dies loses nothing. Those that another instance is just writing are skipped.
     */
    async claimDue(nowMs: number, againAtMs: number, limit: number): Promise<Trip[]> {
      const rows = await sql<TripRow[]>`
        update trips set timer_at_ms = ${againAtMs}
        where id = any (array(
          select id from trips
          where timer_at_ms <= ${nowMs}
          order by timer_at_ms limit ${limit}
          for update skip locked))
        returning *`;
      return rows.map(tripOf);
    },
  };
}

const isTheirs = (sql: Sql, id: Person['id'] | RiderId) =>
  sql`(rider_id = ${id} or driver_id = ${id} or offered_driver_id = ${id})`;

const insertHistory = (sql: Sql, { trip, entry }: Step) => sql`
  insert into trip_history
  select new.* from moved, jsonb_populate_record(null::trip_history, ${json(sql, historyRowOf(trip.id, entry))}::jsonb) as new`;

const insertDecision = (sql: Sql, { version, atMs }: HistoryEntry, decision: Decision) => sql`
  insert into trip_decisions (trip_id, version, decision, at_ms)
  select id, ${version}, ${json(sql, decision)}::jsonb, ${atMs} from moved`;
