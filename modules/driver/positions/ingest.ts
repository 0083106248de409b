import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { problem } from '@platform/problems.ts';
import { type CoalescerOptions, createCoalescer } from './coalescer.ts';
import type { DriverAvailability, PositionIndex, PositionUpdate, RecordOutcome } from './index.ts';

export interface IngestDeps {
  index: PositionIndex;
  /** Loads the drivers' availability from the database, in any order; unknown drivers are included. */
  loadAvailabilities: (driverIds: readonly DriverId[]) => Promise<DriverAvailability[]>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** How long positions are collected for one write, ms. */
  windowMs: number;
  /** Drivers per write. */
  batchMax: number;
  /** Updates that may wait for their write. */
  waitingMax: number;
  /** How long an update may wait before its write starts, ms. */
  waitMsMax: number;
}

/** The result for one position. `previousMs` is when the position before it was recorded. */
export type IngestResult =
  | { kind: 'stored'; previousMs: number | undefined; busy: boolean }
  | { kind: 'outdated' | 'too_fast'; previousMs: number }
  | { kind: 'offline' };

/** Writes positions to the index in batches. All routes and sockets that receive positions share it. */
export interface Ingest {
  /**
   * Resolves once the index has this position or a newer one of the driver. Throws `service.unavailable` when
   * the position waited too long or too many newer ones wait, and passes on errors of Redis and PostgreSQL.
   */
  submit(update: PositionUpdate): Promise<IngestResult>;
  /** Reloads the availability of these drivers from the database into the index. */
  restore(driverIds: readonly DriverId[]): Promise<void>;
}

// No caller waits for a recheck, so it can be batched: 10,000 drivers make 10 queries a second instead of 500.
const recheckWindowMs = 100;

/**
 * Combines updates of many drivers into one write. Of several updates of one driver the newest is written.
 *
 * Drivers unknown to the index (the index or a write to it was lost, or the driver was silent for a while) are
 * looked up in the database first. These lookups have batches of their own, so that a slow database delays
 * only those drivers. An availability that is due for a recheck is looked up in the background.
 */
export function createIngest(deps: IngestDeps): Ingest {
  const {
    index,
    loadAvailabilities,
    clock,
    log,
    metrics,
    windowMs,
    batchMax,
    waitingMax: pendingCallsMax,
    waitMsMax,
  } = deps;
  const createOverloadError = () => {
    metrics.count('positions_shed_total');
    return problem('service.unavailable', { detail: 'too many positions are waiting', retryAfterSeconds: 1 });
  };
  const bounds = { clock, batchMax, pendingCallsMax, waitMsMax, createOverloadError };

  const writes = createCoalescer<PositionUpdate, RecordOutcome>({
    ...bounds,
    windowMs,
    // While Redis processes one batch, the next is queued there, and a third is encoded or decoded here.
    inFlightBatchesMax: 3,
    keyOf: ({ driverId }) => driverId,
    merge: (waiting, arriving) => (arriving.recordedAtMs >= waiting.recordedAtMs ? arriving : waiting),
    runBatch: async (updates) => {
      const outcomes = await index.record(updates);
      metrics.count('position_writes_total');
      metrics.count('position_drivers_written_total', {}, updates.length);
      return outcomes;
    },
  });
  const lookupOptions: Omit<CoalescerOptions<DriverId, true>, 'windowMs'> = {
    ...bounds,
    inFlightBatchesMax: 1,
    keyOf: (driverId) => driverId,
    merge: (waiting) => waiting,
    runBatch: async (driverIds) => {
      await index.setAvailabilities(await loadAvailabilities(driverIds));
      metrics.count('driver_standings_restored_total', {}, driverIds.length);
      return driverIds.map(() => true);
    },
  };
  const lookups = createCoalescer<DriverId, true>({ ...lookupOptions, windowMs: 0 });
  const rechecks = createCoalescer<DriverId, true>({ ...lookupOptions, windowMs: recheckWindowMs });
  metrics.gauge('positions_waiting', writes.countPendingCalls);

  return {
    async submit(update) {
      let outcome = await writes.submit(update);
      if (outcome.kind === 'unknown') {
        await lookups.submit(update.driverId);
        outcome = await writes.submit(update);
      }
      switch (outcome.kind) {
        case 'offline':
          return { kind: 'offline' };
        case 'stored':
        case 'outdated':
        case 'too_fast':
          if (outcome.recheck) recheck(update.driverId);
          return resultOf(update, outcome);
        case 'failed':
          throw outcome.cause;
        case 'unknown':
          // The index lost the driver again meanwhile; the next position restores it.
          throw problem('service.unavailable', { detail: 'the position index is being restored' });
      }
    },
    async restore(driverIds) {
      await Promise.all(driverIds.map((driverId) => lookups.submit(driverId)));
    },
  };

  function recheck(driverId: DriverId): void {
    rechecks.submit(driverId).catch((error: unknown) => {
      metrics.count('driver_standing_rechecks_failed_total');
      log.debug(
        { err: error },
        'failed to recheck the availability of a driver, the next position tries again',
      );
    });
  }
}

/** The outcome belongs to the newest position of the batch; this derives the result for the caller's own one. */
function resultOf(
  { recordedAtMs }: PositionUpdate,
  outcome: Exclude<RecordOutcome, { kind: 'offline' | 'failed' | 'unknown' }>,
): IngestResult {
  const { kind, previousMs } = outcome;
  if (previousMs !== undefined && recordedAtMs < previousMs) return { kind: 'outdated', previousMs };
  return kind === 'stored'
    ? { kind, previousMs, busy: outcome.busy }
    : { kind, previousMs: outcome.previousMs };
}
