import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent } from '@contracts/events.ts';
import { parseEvent } from '../bus/envelope.ts';
import type { Clock } from '../clock.ts';
import type { Database, Sql } from '../postgres/database.ts';

// The lease is renewed at half of this time while the broker is slow. It is not longer, because after
// the relay that holds it was killed or paused, events wait until it expires.
export const leaseMs = 2_000;
// How many batches of rows are read from the head of the table, in addition to the rows in flight.
// This leaves room to skip rows whose subject is in flight.
const headBatches = 2;

/** One row of the outbox whose event is valid. */
export interface OutboxEntry {
  id: number;
  event: DomainEvent;
}

export interface OutboxBatch {
  entries: OutboxEntry[];
  /** Rows that break the contract of their event, with the reason. */
  invalid: { id: number; reason: string }[];
  /** There are rows to publish, but another relay holds the lease. */
  isLeasedElsewhere: boolean;
}

interface OutboxRow {
  has_lease: boolean;
  has_rows: boolean;
  id: number | null;
  event_id: string;
  type: string;
  subject: string;
  time_ms: number;
  traceparent: string | null;
  data: unknown;
}

export type OutboxStore = ReturnType<typeof createOutboxStore>;

/** The SQL of the outbox and its lease. `holder` identifies the relay that uses it. */
export function createOutboxStore(database: Database, holder: string, clock: Clock) {
  const sql = database.primary;

  return {
    /**
     * One statement, one round trip: deletes the rows that were published, acquires or renews the
     * lease, and reads the next rows under it. The lease is released when there is no next row and
     * nothing is in flight.
     *
     * - `inFlightSubjects` has one element for each row in flight. Rows of those subjects are skipped,
     *   so that a failed batch cannot change the order within a subject.
     * - Only a bounded head of the table is read, and it is materialized before anything is joined to it.
     * - The condition on `turn` protects against a snapshot from before another relay held the lease:
     *   the rows that such a snapshot shows may have been published already.
     * - The commit does not wait for the disk (`synchronous_commit` is off): rows whose deletion a crash
     *   of the server undoes are published again, as after any crash.
     */
    readNextBatch: async (
      publishedIds: readonly number[],
      inFlightSubjects: readonly string[],
      limit: number,
    ): Promise<OutboxBatch> => {
      const nowMs = clock.nowMs();
      const rows = await sql<OutboxRow[]>`
        with deleted as (delete from outbox where id = any(${[...publishedIds]}::bigint[])),
             head as materialized (
               select id, event_id, type, subject, time_ms, traceparent, data
               from outbox where refused is null
               order by id limit ${publishedIds.length + inFlightSubjects.length + limit * headBatches}),
             batch as materialized (
               select head.* from head
               where not exists (
                   select from unnest(${[...publishedIds]}::bigint[]) as published (id) where published.id = head.id)
                 and not exists (
                   select from unnest(${[...inFlightSubjects]}::text[]) as in_flight (subject)
                   where in_flight.subject = head.subject)
               order by head.id limit ${limit}),
             lease as (
               update outbox_lease
               set holder = ${holder}, turn = outbox_lease.turn + 1,
                   until_ms = case when ${inFlightSubjects.length > 0} or exists (select from batch)
                                   then ${nowMs + leaseMs}::bigint else 0 end
               from (select turn from outbox_lease) as snapshot
               where outbox_lease.turn = snapshot.turn
                 and (outbox_lease.holder = ${holder} or outbox_lease.until_ms <= ${nowMs})
                 and (exists (select from batch)
                      or (outbox_lease.holder = ${holder} and outbox_lease.until_ms > 0))
               returning true)
        select state.has_lease, state.has_rows, state.synchronous_commit, batch.*
        from (select exists (select from lease) as has_lease, exists (select from batch) as has_rows,
                     set_config('synchronous_commit', 'off', true) as synchronous_commit) as state
        left join batch on state.has_lease
        order by batch.id`;
      const batch: OutboxBatch = {
        entries: [],
        invalid: [],
        isLeasedElsewhere: rows[0]?.has_rows === true && !rows[0].has_lease,
      };
      for (const row of rows) {
        if (row.id === null) continue;
        const parsed = parseEvent(eventOf(row));
        if (parsed.kind === 'event') batch.entries.push({ id: row.id, event: parsed.event });
        else batch.invalid.push({ id: row.id, reason: parsed.reason });
      }
      return batch;
    },
    ...createLeaseStatements(sql, holder, clock),
  };

  function eventOf(row: OutboxRow): unknown {
    return {
      id: row.event_id,
      type: row.type,
      source: database.schema,
      subject: row.subject,
      time: formatTimestamp(row.time_ms),
      ...(row.traceparent === null ? {} : { traceparent: row.traceparent }),
      data: row.data,
    };
  }
}

function createLeaseStatements(sql: Sql, holder: string, clock: Clock) {
  return {
    /** Marks rows as invalid. They stay in the table and are not read again. */
    setAside: async (invalid: OutboxBatch['invalid']): Promise<void> => {
      await sql`
        update outbox set refused = invalid.reason
        from unnest(${invalid.map(({ id }) => id)}::bigint[], ${invalid.map(({ reason }) => reason)}::text[])
          as invalid (id, reason)
        where outbox.id = invalid.id`;
    },

    renewLease: async (): Promise<void> => {
      await sql`
        update outbox_lease set until_ms = ${clock.nowMs() + leaseMs}
        where holder = ${holder} and until_ms > 0`;
    },

    releaseLease: async (): Promise<void> => {
      await sql`update outbox_lease set until_ms = 0, turn = turn + 1 where holder = ${holder} and until_ms > 0`;
    },

    /**
     * An upper bound of the rows that wait, from the first and the last id: reading two index entries
     * takes as long for a million rows as for one.
     */
    estimateBacklog: async (): Promise<number> => {
      const [row] = await sql<{ first: number | null; last: number | null }[]>`
        select (select id from outbox where refused is null order by id limit 1) as first,
               (select id from outbox order by id desc limit 1) as last`;
      return row?.first == null || row.last == null ? 0 : row.last - row.first + 1;
    },
  };
}
