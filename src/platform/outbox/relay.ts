import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../clock.ts';
import { createIds } from '../ids.ts';
import { createLoop, type Loop } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Database } from '../postgres/database.ts';
import { problem } from '../problems.ts';
import { systemRandom } from '../random.ts';
import { createBacklog } from './backlog.ts';
import { createEntryPublisher } from './entry-publisher.ts';
import { createInFlightBatches, type InFlightBatches } from './in-flight-batches.ts';
import { createOutboxStore, leaseMs, type OutboxBatch, type OutboxStore } from './store.ts';

export interface RelayDeps {
  /** The context's own database. The name of its schema becomes the `source` of the events. */
  database: Database;
  bus: Bus;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** The most events that are published in one batch. */
  batchMax?: number;
  /** How often the relay looks for rows when nobody calls `wake`. */
  idleMs?: number;
  /** The most rows that may wait before `assertRoom` throws. */
  backlogMax?: number;
}

export interface Relay extends Loop {
  /**
   * Throws `service.unavailable` when the backlog is longer than `backlogMax`, so that callers stop
   * writing more events. It only compares two numbers: the relay measures the backlog once a second
   * in the background, whether or not it holds the lease.
   */
  assertRoom(): void;
}

const batchMaxDefault = 256;
const idleMsDefault = 100;
// A batch takes 5 to 20 ms, so a relay that finds the lease taken asks again soon.
const leaseRetryMsMin = 3;
const outagePauseMs = 500;
const backlogMaxDefault = 1_000_000;
// Together with `batchMax` this bounds what the broker may leave unconfirmed.
const inFlightBatchesMax = 4;

/**
 * The relay of a transactional outbox. It publishes the rows of the context's `outbox` table in the
 * order of their ids and deletes each row once the broker has confirmed its event.
 *
 * Guarantees:
 * - No committed event is lost. A row leaves the table only after the broker has confirmed it.
 * - While nothing fails, each event is published once. After a crash or a lost connection between the
 *   confirm and the delete it is published again; the inboxes of the consumers ignore the duplicate.
 * - Events of one subject are published in the order in which they were committed, also when a batch
 *   fails, because no two batches in flight share a subject.
 *
 * States of one relay, with what leads from one to the next:
 *
 *     idle ──wake or idleMs──► claiming ──rows, lease held──► draining ──no rows left──► idle
 *                                 │  ▲                            │
 *                lease held by another relay                 publish failed
 *                                 ▼  │                            ▼
 *                          waiting, 3 ms doubling         outage: lease released, 500 ms pause
 *                            up to idleMs                         └──────────► claiming
 *
 * Every process that writes events runs a relay and calls `wake` after each write, so events usually
 * leave at once. One relay at a time publishes: the one that holds the lease, a row in
 * `outbox_lease`. The lease is a row and not an advisory lock for three reasons: a lock would need a
 * connection reserved for it (postgres.js may continue a transaction on another connection, #1204);
 * a relay that is paused loses the lease after `leaseMs`, while a lock would stay; and acquiring,
 * renewing and releasing the lease are part of the statement that deletes one batch and reads the
 * next, so each batch costs one round trip to PostgreSQL.
 *
 * Up to four batches are in flight: the next one is read and published while the broker still has to
 * confirm earlier ones.
 *
 * During an outage of the broker the rows stay in the table and the relay releases the lease, because
 * another instance may still reach the broker. The outage is logged once, and so is its end.
 */
export function createRelay(deps: RelayDeps): Relay {
  const { database, bus, clock, log, metrics, batchMax = batchMaxDefault, idleMs = idleMsDefault } = deps;
  const { backlogMax = backlogMaxDefault } = deps;
  const context = database.schema;
  const store = createOutboxStore(database, createIds(clock, systemRandom)<string>(), clock);
  // Confirmed but not yet deleted. Ids stay here when a delete fails, so that they are not published again.
  let confirmedIds: number[] = [];
  const publisher = createEntryPublisher({
    ...{ bus, store, clock, log, metrics, context },
    onConfirmed(ids) {
      confirmedIds = confirmedIds.concat(ids);
    },
  });
  const inFlight = createInFlightBatches(publisher.publish, inFlightBatchesMax);
  const backlog = createBacklog({ store, clock, batchMax });
  let outageSinceMs: number | undefined;
  metrics.gauge('outbox_backlog_rows', backlog.size, { context });

  const loop = createLoop({ name: `${context}.relay`, clock, log, idleMs, step });
  return {
    ...loop,
    wake() {
      inFlight.requestWake();
      loop.wake();
    },
    assertRoom() {
      if (backlog.size() <= backlogMax) return;
      const detail = `${context}: too many events wait to be published`;
      throw problem('service.unavailable', { detail, retryAfterSeconds: 5 });
    },
  };

  async function step(signal: AbortSignal): Promise<boolean> {
    const ended = new AbortController();
    void renewLeaseUntil(ended.signal, { store, clock, inFlight });
    try {
      await drain(signal);
      if (outageSinceMs !== undefined)
        log.info({ context, outageMs: clock.nowMs() - outageSinceMs }, 'outbox is publishing again');
      outageSinceMs = undefined;
    } catch (error) {
      if (outageSinceMs === undefined) log.warn({ context, err: error }, 'failed to publish outbox batch');
      outageSinceMs ??= clock.nowMs();
      await store.releaseLease().catch(() => undefined);
      // `wake` does not end this pause: writers call it at full speed while the broker is unavailable.
      await clock.sleep(outagePauseMs, signal);
    } finally {
      ended.abort();
    }
    return false;
  }

  /** Publishes batch after batch until no row is left; throws when publishing failed. */
  async function drain(signal: AbortSignal): Promise<void> {
    try {
      for (let retryMs = leaseRetryMsMin; ; ) {
        inFlight.throwIfFailed();
        const batch = await readNextBatch(signal);
        if (batch.isLeasedElsewhere && inFlight.size() === 0) {
          if (signal.aborted) return;
          await clock.sleep(retryMs, signal);
          retryMs = Math.min(retryMs * 2, idleMs);
          continue;
        }
        const rowCount = batch.entries.length + batch.invalid.length;
        if (rowCount === 0 && inFlight.size() === 0 && confirmedIds.length === 0) return;
        retryMs = leaseRetryMsMin;
        if (batch.entries.length > 0) inFlight.launch(batch.entries);
        const mayReadMore = inFlight.hasRoom() && (rowCount === batchMax || inFlight.isWakeRequested());
        if (!mayReadMore) await inFlight.waitForProgress({ wakeable: !signal.aborted });
      }
    } finally {
      await inFlight.waitForAll();
    }
  }

  /** Deletes the confirmed rows and reads the next ones; reads none when the relay is stopping. */
  async function readNextBatch(signal: AbortSignal): Promise<OutboxBatch> {
    const deletedIds = confirmedIds;
    inFlight.clearWakeRequest();
    const batch = await store.readNextBatch(deletedIds, inFlight.subjects(), signal.aborted ? 0 : batchMax);
    // More ids may have been confirmed while the statement ran.
    confirmedIds = confirmedIds.slice(deletedIds.length);
    if (batch.invalid.length > 0) await publisher.setAside(batch.invalid);
    await backlog.update(batch, inFlight.entryCount());
    return batch;
  }
}

/**
 * Renews the lease while batches are in flight. A broker that is slow but available must not cost the
 * relay its lease, or a second relay would publish the same events.
 */
async function renewLeaseUntil(
  signal: AbortSignal,
  { store, clock, inFlight }: { store: OutboxStore; clock: Clock; inFlight: InFlightBatches },
): Promise<void> {
  for (;;) {
    await clock.sleep(leaseMs / 2, signal);
    if (signal.aborted) return;
    if (inFlight.size() > 0) await store.renewLease().catch(() => undefined);
  }
}
