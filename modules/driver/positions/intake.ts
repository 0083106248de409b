import type { PositionBatchResult, PositionFix } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import { Problem } from '@platform/problems.ts';
import { driverProblem } from '../errors.ts';
import type { TrackRecorder } from '../tracks/recorder.ts';
import { type FixLimits, parseFix, parseFixes } from './fixes.ts';
import type { PositionUpdate } from './index.ts';
import type { Ingest, IngestResult } from './ingest.ts';

export interface IntakeDeps {
  ingest: Ingest;
  /** Hears where busy drivers are. */
  onBusyDriverMoved: (update: PositionUpdate) => void;
  clock: Clock;
  metrics: Metrics;
  limits: FixLimits;
  /** Told of all that is taken of busy drivers. */
  tracks: Pick<TrackRecorder, 'add'>;
}

const none: ReadonlySet<PositionUpdate> = new Set();

export type Intake = ReturnType<typeof createIntake>;

/** Positions as drivers send them: judged one by one, the newest of each driver goes to the index. */
export function createIntake({ ingest, clock, metrics, limits, tracks, onBusyDriverMoved }: IntakeDeps) {
  return {
    /** One fix; resolved once the index has it. Throws `position.*`, `driver.offline`. */
    async acceptFix(driverId: DriverId, fix: PositionFix): Promise<void> {
      const update = parseFix(driverId, fix, clock.nowMs(), limits);
      if (typeof update === 'string') {
        count(0, update);
        throw driverProblem(update);
      }
      const placed = await ingest.submit(update);
      if (placed.kind === 'stored') {
        if (placed.busy) {
          tracks.add([update]);
          onBusyDriverMoved(update);
        }
        return count(1);
      }
      const code = refusalCode[placed.kind];
      count(0, code);
      throw driverProblem(code);
    },

    /** A driver's fixes of some time, in any order; the newest goes to the index. Throws `driver.offline`. */
    async acceptBatch(driverId: DriverId, fixes: readonly PositionFix[]): Promise<PositionBatchResult> {
      const taken = await takeFixes(driverId, fixes);
      if (taken === 'offline') throw driverProblem('driver.offline');
      return taken;
    },

    /**
     * The same of many drivers; each is answered for himself. A part that is away shows as
     * `service.unavailable` at those who needed it, and is thrown when nobody's fixes could be taken.
     */
    async acceptBatches(updates: readonly { driverId: DriverId; points: readonly PositionFix[] }[]) {
      const settled = await Promise.allSettled(
        updates.map(({ driverId, points }) => takeFixes(driverId, points)),
      );
      const failed = settled.find((one) => one.status === 'rejected');
      if (failed !== undefined && settled.every(({ status }) => status === 'rejected')) throw failed.reason;
      const results = updates.map(({ driverId, points }, place) => {
        const one = settled[place];
        if (one?.status !== 'fulfilled') return { driverId, ...refuseAll(points, codeOf(one?.reason)) };
        return { driverId, ...(one.value === 'offline' ? refuseAll(points, 'driver.offline') : one.value) };
      });
      return { results };
    },
  };

  async function takeFixes(
    driverId: DriverId,
    fixes: readonly PositionFix[],
  ): Promise<PositionBatchResult | 'offline'> {
    const { parsed, tracks: ways } = parseFixes(driverId, fixes, clock.nowMs(), limits);
    const { placed, taken } = await placeNewest(ingest, ways);
    if (placed?.kind === 'offline') {
      count(0, 'driver.offline', fixes.length);
      return 'offline';
    }
    const previousMs = placed?.previousMs ?? Number.NEGATIVE_INFINITY;
    const newest = taken.at(-1);
    if (newest !== undefined && placed?.kind === 'stored' && placed.busy) {
      tracks.add(taken.filter((one) => one.recordedAtMs >= previousMs));
      onBusyDriverMoved(newest);
    }
    const strays = ways.every((way) => way === taken)
      ? none
      : new Set(ways.filter((way) => way !== taken).flat());
    const refused: PositionBatchResult['refused'] = [];
    for (const [index, one] of parsed.entries()) {
      if (typeof one === 'string') refused.push({ index, code: one });
      else if (one.recordedAtMs < previousMs) refused.push({ index, code: refusalCode.outdated });
      else if (strays.has(one)) refused.push({ index, code: refusalCode.too_fast });
    }
    for (const { code } of refused) count(0, code);
    count(fixes.length - refused.length);
    return { accepted: fixes.length - refused.length, refused };
  }

  function count(accepted: number, refusedCode?: string, refused = 1): void {
    if (accepted > 0) metrics.count('positions_accepted_total', {}, accepted);
    if (refusedCode !== undefined) metrics.count('positions_refused_total', { code: refusedCode }, refused);
  }
}

/**
 * The newest point of the likeliest way goes to the index, which may know that the driver can't be there:
 * then that of the next one. When the index contradicts all of them, two points of the likeliest outweigh it,
 * as two that come one by one do.
 */
async function placeNewest(
  ingest: Ingest,
  ways: readonly PositionUpdate[][],
): Promise<{ placed: IngestResult | undefined; taken: readonly PositionUpdate[] }> {
  let placed: IngestResult | undefined;
  for (const taken of ways) {
    const newest = taken.at(-1);
    if (newest === undefined) continue;
    placed = await ingest.submit(newest);
    if (placed.kind !== 'too_fast') return { placed, taken };
  }
  const [likeliest = []] = ways;
  const newest = likeliest.at(-1);
  const before = likeliest.findLast(({ recordedAtMs }) => recordedAtMs < (newest?.recordedAtMs ?? 0));
  if (newest === undefined || before === undefined) return { placed, taken: [] };
  await ingest.submit(before);
  placed = await ingest.submit(newest);
  return { placed, taken: placed.kind === 'too_fast' ? [] : likeliest };
}

const refusalCode = {
  offline: 'driver.offline',
  outdated: 'position.outdated',
  too_fast: 'position.too_fast',
} as const;

const refuseAll = (fixes: readonly PositionFix[], code: string): PositionBatchResult => ({
  accepted: 0,
  refused: fixes.map((_, index) => ({ index, code })),
});

function codeOf(error: unknown): string {
  if (error instanceof Problem) return error.code;
  return isOutage(error) ? 'service.unavailable' : 'internal.error';
}
