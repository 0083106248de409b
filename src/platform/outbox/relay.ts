import type { Bus } from '../bus/bus.ts';
import { EventInvalidError } from '../bus/envelope.ts';
import type { Clock } from '../clock.ts';
import { createIds } from '../ids.ts';
import { createLoop, type Loop } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Database } from '../postgres/database.ts';
import { problem } from '../problems.ts';
import { systemRandom } from '../random.ts';
import { createOutboxStore, leaseMs, type OutboxBatch, type OutboxEntry } from './store.ts';

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
  /** Rows that may wait before `assertRoom` refuses. */
  backlogMax?: number;
}

export interface Relay extends Loop {
  /**
   * Throws `service.unavailable` when so many events wait that no more should be told. Costs nothing:
   * the relay looks at the backlog once a second, whoever has the turn.
   */
  assertRoom(): void;
}

const batchMaxDefault = 256;
const idleMsDefault = 100;
// A batch takes 5 to 20 ms: whoever finds the turn taken asks again soon.
const busyPauseMs = 3;
const outagePauseMs = 500;
const backlogCountEveryMs = 1_000;
const backlogMaxDefault = 1_000_000;
// With the batch, what the broker may leave unconfirmed.
const flightsMax = 4;

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
 * deletes one batch and reads the next: one round trip for each batch.
 *
 * The next batch is read and published while the broker still has earlier ones to confirm. No two
 * batches on the way share a subject: whichever of them fails, each subject keeps its order.
 *
 * In an outage of the broker rows stay and the turn is given back, since another instance may still
 * reach it; this is logged once.
 */
export function createRelay(options: RelayOptions): Relay {
  const { database, bus, clock, log, metrics, batchMax = batchMaxDefault, idleMs = idleMsDefault } = options;
  const { backlogMax = backlogMaxDefault } = options;
  const context = database.schema;
  const store = createOutboxStore(database, createIds(clock, systemRandom)<string>(), clock);
  // Published but not yet deleted; kept when the delete failed, so that they aren't sent again.
  let published: number[] = [];
  const flights = new Set<OutboxEntry[]>();
  let failure: { error: unknown } | undefined;
  // A nudge that no read has followed yet.
  let nudged = false;
  let wake = new AbortController();
  let backlog = 0;
  let countedAtMs = Number.NEGATIVE_INFINITY;
  let outageSinceMs: number | undefined;
  metrics.gauge('outbox_backlog_rows', () => backlog, { context });

  const loop = createLoop({ name: `${context}.relay`, clock, log, idleMs, step });
  return {
    ...loop,
    wake() {
      nudged = true;
      wake.abort();
      loop.wake();
    },
    assertRoom() {
      if (backlog <= backlogMax) return;
      const detail = `${context}: too many events wait to be published`;
      throw problem('service.unavailable', { detail, retryAfterSeconds: 5 });
    },
  };

  async function step(signal: AbortSignal): Promise<boolean> {
    const ended = new AbortController();
    void keepTurn(ended.signal);
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
    } finally {
      ended.abort();
    }
    return false;
  }

  async function drain(signal: AbortSignal): Promise<void> {
    try {
      for (let pauseMs = busyPauseMs; ; ) {
        if (failure !== undefined) throw failure.error;
        const batch = await read(signal);
        if (batch.isLeasedElsewhere && flights.size === 0) {
          if (signal.aborted) return;
          await clock.sleep(pauseMs, signal);
          pauseMs = Math.min(pauseMs * 2, idleMs);
          continue;
        }
        const found = batch.entries.length + batch.invalid.length;
        if (found === 0 && flights.size === 0 && published.length === 0) return;
        pauseMs = busyPauseMs;
        if (batch.entries.length > 0) void launch(batch.entries);
        const more = flights.size < flightsMax && (found === batchMax || nudged);
        if (!more) await change(!signal.aborted);
      }
    } finally {
      while (flights.size > 0) await change(false);
      failure = undefined;
    }
  }

  async function read(signal: AbortSignal): Promise<OutboxBatch> {
    const done = published;
    const onTheWay = [...flights].flatMap((told) => told.map(({ event }) => event.subject));
    nudged = false;
    const batch = await store.next(done, onTheWay, signal.aborted ? 0 : batchMax);
    // More may have been confirmed while the statement ran.
    published = published.slice(done.length);
    if (batch.invalid.length > 0) await setAside(batch.invalid);
    await count(batch);
    return batch;
  }

  /** One batch on its way; its end wakes the drain. */
  async function launch(told: OutboxEntry[]): Promise<void> {
    flights.add(told);
    try {
      await publish(told);
    } catch (error) {
      failure ??= { error };
    }
    flights.delete(told);
    wake.abort();
  }

  /** Until a batch has ended or, if the drain `mayReadOn` and another batch may set out, a nudge. */
  async function change(mayReadOn: boolean): Promise<void> {
    const before = flights.size;
    while (flights.size === before && before > 0) {
      if (mayReadOn && nudged && before < flightsMax && failure === undefined) return;
      wake = new AbortController();
      await untilAborted(wake.signal);
    }
  }

  async function publish(told: OutboxEntry[]): Promise<void> {
    try {
      await bus.publish(told.map(({ event }) => event));
    } catch (error) {
      if (!(error instanceof EventInvalidError)) throw error;
      if (told.length > 1) return await publishOneByOne(told);
      return await setAside(told.map(({ id }) => ({ id, reason: error.message })));
    }
    published = published.concat(told.map(({ id }) => id));
    const nowMs = clock.nowMs();
    for (const { event } of told)
      metrics.observe('outbox_lag_ms', nowMs - Date.parse(event.time), { context });
  }

  /** To find the one that the bus refuses; the others must not wait for it. */
  async function publishOneByOne(told: OutboxEntry[]): Promise<void> {
    for (const one of told) await publish([one]);
  }

  /** A broker that is slow, not away, must not cost us the turn: two would publish the same. */
  async function keepTurn(signal: AbortSignal): Promise<void> {
    for (;;) {
      await clock.sleep(leaseMs / 2, signal);
      if (signal.aborted) return;
      if (flights.size > 0) await store.renew().catch(() => undefined);
    }
  }

  async function setAside(refused: OutboxBatch['invalid']): Promise<void> {
    await store.setAside(refused);
    log.error({ context, refused }, 'outbox rows break the contract of events and were set aside');
    metrics.count('outbox_refused_total', { context }, refused.length);
  }

  /** What was read and what is on the way is all there is, unless the batch is full or not ours to read. */
  async function count({ entries, invalid, isLeasedElsewhere }: OutboxBatch): Promise<void> {
    const found = entries.length + invalid.length;
    if (!isLeasedElsewhere && found < batchMax) {
      backlog = found + [...flights].reduce((sum, told) => sum + told.length, 0);
    } else if (clock.nowMs() - countedAtMs >= backlogCountEveryMs) {
      countedAtMs = clock.nowMs();
      backlog = await store.backlog();
    }
  }
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
