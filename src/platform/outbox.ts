import { timestamp } from '@contracts/common.ts';
import type { DomainEvent } from '@contracts/events.ts';
import type { Bus } from './bus/bus.ts';
import { EventInvalidError, readEvent } from './bus/envelope.ts';
import type { Clock } from './clock.ts';
import { createIds } from './ids.ts';
import { createLoop, type Loop } from './lifecycle.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Database } from './postgres/database.ts';
import { systemRandom } from './random.ts';

export interface RelayOptions {
  /** The context's own; its schema is the events' `source`. */
  database: Database;
  bus: Bus;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Events published at once, at most. */
  batchMax?: number;
  /** How soon a row is found that no `nudge` told of. */
  idleMs?: number;
}

const batchMaxDefault = 256;
const idleMsDefault = 100;
// Renewed at half of it while the broker takes its time. No longer, because events wait for its end
// after the relay that has the turn was killed or paused.
const leaseMs = 2_000;
// A batch takes 5 to 20 ms: whoever finds the turn taken asks again soon.
const busyPauseMs = 3;
const outagePauseMs = 500;
const backlogCountEveryMs = 1_000;
const backlogCountMax = 100_000;

interface Told {
  id: number;
  event: DomainEvent;
}

interface Batch {
  events: Told[];
  refused: { id: number; reason: string }[];
  /** There are rows, but another relay has the turn. */
  busy: boolean;
}

/**
 * Publishes the outbox in the order of its rows and deletes what the broker has confirmed: no event
 * is ever lost, and each goes out once while nothing fails. A crash, or a connection lost between the
 * confirm and the delete, sends it again, which consumers' inboxes absorb.
 *
 * Every writing process runs a relay and nudges it after a write, so the one who wrote publishes at
 * once; one relay at a time has the turn, a row in `outbox_lease` that it gives back when it finds
 * nothing more. A lease, rather than an advisory lock on a reserved connection: it needs no state of
 * a session (postgres.js can go on with a transaction on another connection, #1204), a paused holder
 * loses it after `leaseMs`, and taking it, renewing it and giving it back ride on the statement that
 * deletes one batch and reads the next: one round trip and one flush for each batch.
 *
 * In an outage of the broker rows stay and the turn is given back, since another instance may still
 * reach it; this is logged once.
 */
export function createRelay(options: RelayOptions): Loop {
  const { database, bus, clock, log, metrics, batchMax = batchMaxDefault, idleMs = idleMsDefault } = options;
  const context = database.schema;
  const store = createOutboxStore(database, createIds(clock, systemRandom)<string>(), clock);
  // Published but not yet deleted; kept when the delete failed, so that they aren't sent again.
  let published: number[] = [];
  let backlog = 0;
  let countedAtMs = Number.NEGATIVE_INFINITY;
  let outageSinceMs: number | undefined;
  metrics.gauge('outbox_backlog_rows', () => backlog, { context });

  return createLoop({ name: `${context}.relay`, clock, log, idleMs, step });

  async function step(signal: AbortSignal): Promise<boolean> {
    try {
      await drain(signal);
      if (outageSinceMs !== undefined)
        log.info({ context, outageMs: clock.nowMs() - outageSinceMs }, 'events leave the outbox again');
      outageSinceMs = undefined;
    } catch (error) {
      if (outageSinceMs === undefined) log.warn({ context, err: error }, 'events wait in the outbox');
      outageSinceMs ??= clock.nowMs();
      await store.giveBack().catch(() => undefined);
      // Not cut short by a nudge: writers nudge at full speed while the broker is away.
      await clock.sleep(outagePauseMs, signal);
    }
    return false;
  }

  async function drain(signal: AbortSignal): Promise<void> {
    for (let pauseMs = busyPauseMs; ; ) {
      const batch = await store.next(published, signal.aborted ? 0 : batchMax);
      published = [];
      if (batch.refused.length > 0) await setAside(batch.refused);
      if (batch.busy) {
        if (signal.aborted) return;
        await clock.sleep(pauseMs, signal);
        pauseMs = Math.min(pauseMs * 2, idleMs);
        continue;
      }
      const read = batch.events.length + batch.refused.length;
      await count(read);
      if (read === 0) return;
      pauseMs = busyPauseMs;
      await publish(batch.events);
    }
  }

  async function publish(told: Told[]): Promise<void> {
    const ended = new AbortController();
    void keepTurn(ended.signal);
    try {
      await bus.publish(told.map(({ event }) => event));
    } catch (error) {
      if (!(error instanceof EventInvalidError)) throw error;
      if (told.length > 1) return await publishOneByOne(told);
      return await setAside(told.map(({ id }) => ({ id, reason: error.message })));
    } finally {
      ended.abort();
    }
    published.push(...told.map(({ id }) => id));
    const nowMs = clock.nowMs();
    for (const { event } of told)
      metrics.observe('outbox_lag_ms', nowMs - Date.parse(event.time), { context });
  }

  /** To find the one that the bus refuses; the others must not wait for it. */
  async function publishOneByOne(told: Told[]): Promise<void> {
    for (const one of told) await publish([one]);
  }

  /** A broker that is slow, not away, must not cost us the turn: two would publish the same. */
  async function keepTurn(signal: AbortSignal): Promise<void> {
    for (;;) {
      await clock.sleep(leaseMs / 2, signal);
      if (signal.aborted) return;
      await store.renew().catch(() => undefined);
    }
  }

  async function setAside(refused: Batch['refused']): Promise<void> {
    await store.setAside(refused);
    log.error({ context, refused }, 'outbox rows break the contract of events and were set aside');
    metrics.count('outbox_refused_total', { context }, refused.length);
  }

  /** What was read is all there is, unless the batch is full. */
  async function count(read: number): Promise<void> {
    if (read < batchMax) backlog = read;
    else if (clock.nowMs() - countedAtMs >= backlogCountEveryMs) {
      countedAtMs = clock.nowMs();
      backlog = await store.count();
    }
  }
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

function createOutboxStore(database: Database, holder: string, clock: Clock) {
  const sql = database.primary;

  return {
    /**
     * Deletes the rows that were published, and in the same statement reads the next ones under the
     * lease, which is given back when there are none. Idle, it only reads. `turn` guards against a
     * snapshot from before another relay had its turn: its rows may be published already.
     */
    async next(published: number[], limit: number): Promise<Batch> {
      const nowMs = clock.nowMs();
      const rows = await sql<OutboxRow[]>`
        with gone as (delete from outbox where id = any(${published}::bigint[])),
             batch as materialized (
               select id, event_id, type, subject, time_ms, traceparent, data
               from outbox
               where refused is null and id <> all(${published}::bigint[])
               order by id limit ${limit}),
             lease as (
               update outbox_lease
               set holder = ${holder}, turn = outbox_lease.turn + 1,
                   until_ms = case when exists (select from batch) then ${nowMs + leaseMs}::bigint else 0 end
               from (select turn from outbox_lease) as seen
               where outbox_lease.turn = seen.turn
                 and (outbox_lease.holder = ${holder} or outbox_lease.until_ms <= ${nowMs})
                 and (exists (select from batch)
                      or (outbox_lease.holder = ${holder} and outbox_lease.until_ms > 0))
               returning true)
        select state.mine, state.more, batch.*
        from (select exists (select from lease) as mine, exists (select from batch) as more) as state
        left join batch on state.mine
        order by batch.id`;
      const batch: Batch = { events: [], refused: [], busy: rows[0]?.more === true && !rows[0].mine };
      for (const row of rows) {
        if (row.id === null) continue;
        const reading = readEvent(eventOf(row));
        if (reading.kind === 'event') batch.events.push({ id: row.id, event: reading.event });
        else batch.refused.push({ id: row.id, reason: reading.reason });
      }
      return batch;
    },

    async setAside(refused: Batch['refused']): Promise<void> {
      await sql`
        update outbox set refused = fault.reason
        from unnest(${refused.map(({ id }) => id)}::bigint[], ${refused.map(({ reason }) => reason)}::text[])
          as fault (id, reason)
        where outbox.id = fault.id`;
    },

    async renew(): Promise<void> {
      await sql`
        update outbox_lease set until_ms = ${clock.nowMs() + leaseMs}
        where holder = ${holder} and until_ms > 0`;
    },

    async giveBack(): Promise<void> {
      await sql`update outbox_lease set until_ms = 0, turn = turn + 1 where holder = ${holder} and until_ms > 0`;
    },

    /** Up to `backlogCountMax`: counting a table takes as long as it is. */
    async count(): Promise<number> {
      const [row] = await sql<{ count: number }[]>`
        select count(*)::int as count
        from (select from outbox where refused is null limit ${backlogCountMax}) as waiting`;
      return row?.count ?? 0;
    },
  };

  function eventOf(row: OutboxRow): unknown {
    return {
      id: row.event_id,
      type: row.type,
      source: database.schema,
      subject: row.subject,
      time: timestamp(row.time_ms),
      ...(row.traceparent === null ? {} : { traceparent: row.traceparent }),
      data: row.data,
    };
  }
}
