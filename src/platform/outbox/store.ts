import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent } from '@contracts/events.ts';
import { parseEvent } from '../bus/envelope.ts';
import type { Clock } from '../clock.ts';
import type { Database, Sql } from '../postgres/database.ts';

// Renewed at half of it while the broker takes its time. No longer, because events wait for its end
// after the relay that has the turn was killed or paused.
export const leaseMs = 2_000;
// Beyond the rows on the way, the head that is looked at: room to pass by others of their subjects.
const headBatches = 2;

export interface OutboxEntry {
  id: number;
  event: DomainEvent;
}

export interface OutboxBatch {
  entries: OutboxEntry[];
  invalid: { id: number; reason: string }[];
  /** There are rows, but another relay has the turn. */
  isLeasedElsewhere: boolean;
}

interface OutboxRow {
  mine: boolean;
  more: boolean;
  id: number | null;
  event_id: string;
  type: string;
  subject: string;
  time_ms: number;
  traceparent: string | null;
  data: unknown;
}

export function createOutboxStore(database: Database, holder: string, clock: Clock) {
  const sql = database.primary;

  return {
    /**
     * Deletes the rows that were published, and in the same statement reads the next ones under the
     * lease, which is given back when there are none and none is `onTheWay` (the subject of each row).
     * Rows of subjects that are on the way wait, so that a failure can't change the order within a subject. Looks at a bounded
     * head of the table, before anything is joined to it. `turn` guards against a snapshot from before
     * another relay had its turn: its rows may be published already.
     *
     * The commit waits for no disk: what a crash of the server undoes is published again, as after
     * any crash.
     */
    next: async (
      published: readonly number[],
      onTheWay: readonly string[],
      limit: number,
    ): Promise<OutboxBatch> => {
      const nowMs = clock.nowMs();
      const rows = await sql<OutboxRow[]>`
        with gone as (delete from outbox where id = any(${[...published]}::bigint[])),
             head as materialized (
               select id, event_id, type, subject, time_ms, traceparent, data
               from outbox where refused is null
               order by id limit ${published.length + onTheWay.length + limit * headBatches}),
             batch as materialized (
               select head.* from head
               where not exists (select from unnest(${[...published]}::bigint[]) as sent (id) where sent.id = head.id)
                 and not exists (
                   select from unnest(${[...onTheWay]}::text[]) as busy (subject) where busy.subject = head.subject)
               order by head.id limit ${limit}),
             lease as (
               update outbox_lease
               set holder = ${holder}, turn = outbox_lease.turn + 1,
                   until_ms = case when ${onTheWay.length > 0} or exists (select from batch)
                                   then ${nowMs + leaseMs}::bigint else 0 end
               from (select turn from outbox_lease) as seen
               where outbox_lease.turn = seen.turn
                 and (outbox_lease.holder = ${holder} or outbox_lease.until_ms <= ${nowMs})
                 and (exists (select from batch)
                      or (outbox_lease.holder = ${holder} and outbox_lease.until_ms > 0))
               returning true)
        select state.mine, state.more, state.relaxed, batch.*
        from (select exists (select from lease) as mine, exists (select from batch) as more,
                     set_config('synchronous_commit', 'off', true) as relaxed) as state
        left join batch on state.mine
        order by batch.id`;
      const batch: OutboxBatch = {
        entries: [],
        invalid: [],
        isLeasedElsewhere: rows[0]?.more === true && !rows[0].mine,
      };
      for (const row of rows) {
        if (row.id === null) continue;
        const reading = parseEvent(eventOf(row));
        if (reading.kind === 'event') batch.entries.push({ id: row.id, event: reading.event });
        else batch.invalid.push({ id: row.id, reason: reading.reason });
      }
      return batch;
    },
    ...createLeaseAndCare(sql, holder, clock),
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

/** All but the reading of the next batch. */
function createLeaseAndCare(sql: Sql, holder: string, clock: Clock) {
  return {
    setAside: async (refused: OutboxBatch['invalid']): Promise<void> => {
      await sql`
        update outbox set refused = fault.reason
        from unnest(${refused.map(({ id }) => id)}::bigint[], ${refused.map(({ reason }) => reason)}::text[])
          as fault (id, reason)
        where outbox.id = fault.id`;
    },

    renew: async (): Promise<void> => {
      await sql`
        update outbox_lease set until_ms = ${clock.nowMs() + leaseMs}
        where holder = ${holder} and until_ms > 0`;
    },

    giveBack: async (): Promise<void> => {
      await sql`update outbox_lease set until_ms = 0, turn = turn + 1 where holder = ${holder} and until_ms > 0`;
    },

    /** How many rows wait, at most: by their numbers, which takes as long for a million as for one. */
    backlog: async (): Promise<number> => {
      const [row] = await sql<{ first: number | null; last: number | null }[]>`
        select (select id from outbox where refused is null order by id limit 1) as first,
               (select id from outbox order by id desc limit 1) as last`;
      return row?.first == null || row.last == null ? 0 : row.last - row.first + 1;
    },
  };
}
