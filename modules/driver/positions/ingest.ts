import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { problem } from '@platform/problems.ts';
import { type CoalescerOptions, createCoalescer } from './coalescer.ts';
import type { DriverAvailability, PositionIndex, PositionUpdate, RecordOutcome } from './index.ts';

export interface IngestDeps {
  index: PositionIndex;
  /** What the database says of these drivers, in any order; of those it does not know too. */
  loadAvailabilities: (driverIds: readonly DriverId[]) => Promise<DriverAvailability[]>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** How long positions are gathered, ms. */
  windowMs: number;
  /** Drivers in one write. */
  batchMax: number;
  /** Updates that may wait to be written. */
  waitingMax: number;
  /** How long one waits for its turn, at most. */
  waitMsMax: number;
}

/** What became of a position: `stored` says when the one that it follows was recorded. */
export type IngestResult =
  | { kind: 'stored'; previousMs: number | undefined; busy: boolean }
  | { kind: 'outdated' | 'too_fast'; previousMs: number }
  | { kind: 'offline' };

/** The one way into the index, common to all doors that positions come through. */
export interface Ingest {
  /**
   * Resolves once the index has this position or a newer one of the driver. Throws
   * `service.unavailable` when it had to wait too long or too many newer ones wait, and the errors of Redis and PostgreSQL.
   */
  submit(update: PositionUpdate): Promise<IngestResult>;
  /** Brings the index up to date with the database about these drivers. */
  restore(driverIds: readonly DriverId[]): Promise<void>;
}

// Nobody waits for a standing to be confirmed: 10,000 drivers make 10 queries a second, not 500.
const recheckWindowMs = 100;

/**
 * Updates of many drivers become one write; of several updates of a driver the newest goes on.
 *
 * Drivers whom the index does not know (it was lost, they were silent for a while, a write to it was)
 * are looked up in the database first, in batches of their own, so that a slow database holds up only
 * them. A standing that was not confirmed for a while is looked up too, but nobody waits for that.
 */
export function createIngest(options: IngestDeps): Ingest {
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
  } = options;
  const createOverloadError = () => {
    metrics.count('positions_shed_total');
    return problem('service.unavailable', { detail: 'too many positions wait', retryAfterSeconds: 1 });
  };
  const bounds = { clock, batchMax, pendingCallsMax, waitMsMax, createOverloadError };

  const writes = createCoalescer<PositionUpdate, RecordOutcome>({
    ...bounds,
    windowMs,
    // While Redis works on one, the next lies before it, and one is packed or its answers are read.
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
  const looking: Omit<CoalescerOptions<DriverId, true>, 'windowMs'> = {
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
  const lookups = createCoalescer<DriverId, true>({ ...looking, windowMs: 0 });
  const rechecks = createCoalescer<DriverId, true>({ ...looking, windowMs: recheckWindowMs });
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
          return judge(update, outcome);
        case 'failed':
          throw outcome.cause;
        case 'unknown':
          // Lost again within a moment: the next position finds it whole.
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
      log.debug({ err: error }, 'a standing could not be confirmed; the next position asks again');
    });
  }
}

/** The outcome is that of the batch's newest position: each caller's own is judged by what was there before. */
function judge(
  { recordedAtMs }: PositionUpdate,
  outcome: Exclude<RecordOutcome, { kind: 'offline' | 'failed' | 'unknown' }>,
): IngestResult {
  const { kind, previousMs } = outcome;
  if (previousMs !== undefined && recordedAtMs < previousMs) return { kind: 'outdated', previousMs };
  return kind === 'stored'
    ? { kind, previousMs, busy: outcome.busy }
    : { kind, previousMs: outcome.previousMs };
}
