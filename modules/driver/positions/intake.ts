import type { PositionBatchResult, PositionFix } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import { Problem } from '@platform/problems.ts';
import { driverProblem } from '../errors.ts';
import { type FixLimits, parseFix, parseFixes } from './fixes.ts';
import type { PositionUpdate } from './index.ts';
import type { Ingest, IngestResult } from './ingest.ts';

export interface IntakeDeps {
  ingest: Ingest;
  /** Called with each accepted position of a busy driver. */
  onBusyDriverMoved: (update: PositionUpdate) => void;
  clock: Clock;
  metrics: Metrics;
  limits: FixLimits;
  /** Records the accepted positions of busy drivers. */
  tracks: { add(points: readonly PositionUpdate[]): void };
}

const noUpdates: ReadonlySet<PositionUpdate> = new Set();

export type Intake = ReturnType<typeof createIntake>;

/** Validates the fixes that drivers send; the newest valid one of each driver goes to the index. */
export function createIntake({ ingest, clock, metrics, limits, tracks, onBusyDriverMoved }: IntakeDeps) {
  return {
    /** Accepts one fix; resolves once the index has stored it. Throws `position.*` and `driver.offline`. */
    async acceptFix(driverId: DriverId, fix: PositionFix): Promise<void> {
      const update = parseFix(driverId, fix, clock.nowMs(), limits);
      if (typeof update === 'string') {
        countPositions(0, update);
        throw driverProblem(update);
      }
      const result = await ingest.submit(update);
      if (result.kind === 'stored') {
        if (result.busy) {
          tracks.add([update]);
          onBusyDriverMoved(update);
        }
        return countPositions(1);
      }
      const code = problemCodes[result.kind];
      countPositions(0, code);
      throw driverProblem(code);
    },

    /** Accepts several fixes of one driver, in any order; the newest goes to the index. Throws `driver.offline`. */
    async acceptBatch(driverId: DriverId, fixes: readonly PositionFix[]): Promise<PositionBatchResult> {
      const result = await processFixes(driverId, fixes);
      if (result === 'offline') throw driverProblem('driver.offline');
      return result;
    },

    /**
     * Accepts fixes of many drivers, with a result for each driver. When a dependency is unavailable, the
     * drivers that needed it get `service.unavailable`; when no driver's fixes could be processed, the error
     * is thrown.
     */
    async acceptBatches(updates: readonly { driverId: DriverId; points: readonly PositionFix[] }[]) {
      const settled = await Promise.allSettled(
        updates.map(({ driverId, points }) => processFixes(driverId, points)),
      );
      const failed = settled.find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined && settled.every(({ status }) => status === 'rejected')) throw failed.reason;
      const results = updates.map(({ driverId, points }, index) => {
        const outcome = settled[index];
        if (outcome?.status !== 'fulfilled')
          return { driverId, ...rejectAll(points, problemCodeOf(outcome?.reason)) };
        const { value } = outcome;
        return { driverId, ...(value === 'offline' ? rejectAll(points, 'driver.offline') : value) };
      });
      return { results };
    },
  };

  async function processFixes(
    driverId: DriverId,
    fixes: readonly PositionFix[],
  ): Promise<PositionBatchResult | 'offline'> {
    const { parsed, tracks: candidateTracks } = parseFixes(driverId, fixes, clock.nowMs(), limits);
    const { result, track } = await submitNewest(ingest, candidateTracks);
    if (result?.kind === 'offline') {
      countPositions(0, 'driver.offline', fixes.length);
      return 'offline';
    }
    const previousMs = result?.previousMs ?? Number.NEGATIVE_INFINITY;
    const newest = track.at(-1);
    if (newest !== undefined && result?.kind === 'stored' && result.busy) {
      tracks.add(track.filter(({ recordedAtMs }) => recordedAtMs >= previousMs));
      onBusyDriverMoved(newest);
    }
    const outliers = candidateTracks.every((candidate) => candidate === track)
      ? noUpdates
      : new Set(candidateTracks.filter((candidate) => candidate !== track).flat());
    const refused: PositionBatchResult['refused'] = [];
    for (const [index, update] of parsed.entries()) {
      if (typeof update === 'string') refused.push({ index, code: update });
      else if (update.recordedAtMs < previousMs) refused.push({ index, code: problemCodes.outdated });
      else if (outliers.has(update)) refused.push({ index, code: problemCodes.too_fast });
    }
    for (const { code } of refused) countPositions(0, code);
    countPositions(fixes.length - refused.length);
    return { accepted: fixes.length - refused.length, refused };
  }

  function countPositions(accepted: number, problemCode?: string, refused = 1): void {
    if (accepted > 0) metrics.count('positions_accepted_total', {}, accepted);
    if (problemCode !== undefined) metrics.count('positions_refused_total', { code: problemCode }, refused);
  }
}

/**
 * Submits the newest point of the most likely track. When the index rejects it as too fast, the newest point
 * of the next track is tried. When the index rejects all of them, two points of the most likely track outweigh
 * the stored position, in the same way as two fixes sent one after the other.
 */
async function submitNewest(
  ingest: Ingest,
  tracks: readonly PositionUpdate[][],
): Promise<{ result: IngestResult | undefined; track: readonly PositionUpdate[] }> {
  let result: IngestResult | undefined;
  for (const track of tracks) {
    const newest = track.at(-1);
    if (newest === undefined) continue;
    result = await ingest.submit(newest);
    if (result.kind !== 'too_fast') return { result, track };
  }
  const [likeliest = []] = tracks;
  const newest = likeliest.at(-1);
  const before = likeliest.findLast(({ recordedAtMs }) => recordedAtMs < (newest?.recordedAtMs ?? 0));
  if (newest === undefined || before === undefined) return { result, track: [] };
  await ingest.submit(before);
  result = await ingest.submit(newest);
  return { result, track: result.kind === 'too_fast' ? [] : likeliest };
}

const problemCodes = {
  offline: 'driver.offline',
  outdated: 'position.outdated',
  too_fast: 'position.too_fast',
} as const;

const rejectAll = (fixes: readonly PositionFix[], code: string): PositionBatchResult => ({
  accepted: 0,
  refused: fixes.map((_, index) => ({ index, code })),
});

function problemCodeOf(error: unknown): string {
  if (error instanceof Problem) return error.code;
  return isOutage(error) ? 'service.unavailable' : 'internal.error';
}
