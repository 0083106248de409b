import type {
  Candidate,
  CandidateQuery,
  NearbyDrivers,
  PositionBatchResult,
  PositionFix,
  Product,
} from '@contracts/drivers.ts';
import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { Fault } from '@platform/faults.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import { fault } from './errors.ts';
import { readFix } from './positions/fixes.ts';
import type { PositionIndex, PositionUpdate } from './positions/index.ts';
import type { Ingest } from './positions/ingest.ts';
import type { DriverStore } from './store.ts';

export interface LiveOptions {
  index: PositionIndex;
  ingest: Ingest;
  store: DriverStore;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  freshnessMs: number;
  candidateRadiusMetresMax: number;
  nearbyRadiusMetresMax: number;
}

export type Live = ReturnType<typeof createLive>;

export interface NearbyRequest extends LatLng {
  product?: Product | undefined;
  limit?: number | undefined;
}

const nearbyDefault = 10;
// Each round asks the index for replacements of drivers who the database says are not available.
const candidateRoundsMax = 3;

/** Positions coming in, and searches over them. */
export function createLive(options: LiveOptions) {
  const { index, ingest, store, clock, log, metrics, freshnessMs } = options;

  return {
    /** One fix; resolved once the index has it. Throws `position.*`, `driver.offline`. */
    async take(driverId: DriverId, fix: PositionFix): Promise<void> {
      const update = readFix(driverId, fix, clock.nowMs(), freshnessMs);
      if (typeof update === 'string') {
        count(0, update);
        throw fault(update);
      }
      const placed = await ingest.place(update);
      if (placed.kind === 'stored') return count(1);
      const code = placed.kind === 'offline' ? 'driver.offline' : 'position.outdated';
      count(0, code);
      throw fault(code);
    },

    /** A driver's fixes of some time, in any order; the newest goes to the index. Throws `driver.offline`. */
    async takeBatch(driverId: DriverId, fixes: readonly PositionFix[]): Promise<PositionBatchResult> {
      const taken = await takeFixes(driverId, fixes);
      if (taken === 'offline') throw fault('driver.offline');
      return taken;
    },

    /**
     * The same of many drivers; each is answered for himself. A part that is away shows as
     * `service.unavailable` at those who needed it, and is thrown when nobody's fixes could be taken.
     */
    async takeMany(updates: readonly { driverId: DriverId; points: readonly PositionFix[] }[]) {
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

    /**
     * Who is around, for everybody's eyes: nobody is named, and distances are those to the rounded
     * points, or three of them would give the true one away.
     */
    async nearby({ lat, lng, product, limit = nearbyDefault }: NearbyRequest): Promise<NearbyDrivers> {
      const point = { lat, lng };
      const radiusMetresMax = options.nearbyRadiusMetresMax;
      const found = await index.nearest({ point, product, limit, radiusMetresMax, excluding: [] });
      const drivers = found.map((one) => {
        const position = { lat: rounded(one.point.lat), lng: rounded(one.point.lng) };
        return {
          position,
          distanceMetres: Math.round(distanceMetres(point, position)),
          product: one.product,
          ageSeconds: Math.max(0, Math.round((clock.nowMs() - one.recordedAtMs) / 1000)),
        };
      });
      return { drivers: drivers.sort((a, b) => a.distanceMetres - b.distanceMetres) };
    },

    /**
     * Whom a trip may ask, nearest first. The index finds them, the database has the last word: it
     * knows at once of a driver who went offline or got a trip, the index a moment later.
     */
    async candidates({ pickup, product, limit, excluding }: CandidateQuery): Promise<Candidate[]> {
      const chosen: Candidate[] = [];
      const passedBy = [...excluding];
      for (let round = 0; round < candidateRoundsMax && chosen.length < limit; round++) {
        const found = await index.nearest({
          point: pickup,
          product,
          limit: limit - chosen.length,
          radiusMetresMax: options.candidateRadiusMetresMax,
          excluding: passedBy,
        });
        if (found.length === 0) break;
        const known = await store.load(found.map(({ driverId }) => driverId));
        const wrong = known.filter((one) => one.availability !== 'available' || one.product !== product);
        found.forEach(({ driverId, point: position, distanceMetres }, place) => {
          const vehicle = known[place]?.vehicle ?? null;
          const isRight = vehicle !== null && !wrong.some((one) => one.driverId === driverId);
          if (isRight) chosen.push({ driverId, position, distanceMetres, vehicle });
        });
        if (wrong.length === 0) break;
        passedBy.push(...found.map(({ driverId }) => driverId));
        metrics.count('driver_candidates_refuted_total', {}, wrong.length);
        await index
          .setStandings(wrong)
          .catch((error: unknown) => log.warn({ err: error }, 'the position index was not mended'));
      }
      return chosen;
    },

    hold: (driverId: DriverId, tripId: TripId, ttlMs: number) => index.hold(driverId, tripId, ttlMs),
    release: (driverId: DriverId, tripId: TripId) => index.release(driverId, tripId),
  };

  async function takeFixes(
    driverId: DriverId,
    fixes: readonly PositionFix[],
  ): Promise<PositionBatchResult | 'offline'> {
    const nowMs = clock.nowMs();
    const read = fixes.map((fix) => readFix(driverId, fix, nowMs, freshnessMs));
    const newest = newestOf(read.filter((one) => typeof one !== 'string'));
    const placed = newest === undefined ? undefined : await ingest.place(newest);
    if (placed?.kind === 'offline') {
      count(0, 'driver.offline', fixes.length);
      return 'offline';
    }
    const previousMs = placed?.previousMs ?? Number.NEGATIVE_INFINITY;
    const refused = read.flatMap((one, index) => {
      if (typeof one === 'string') return [{ index, code: one }];
      return one.recordedAtMs < previousMs ? [{ index, code: 'position.outdated' as const }] : [];
    });
    for (const { code } of refused) count(0, code);
    count(fixes.length - refused.length);
    return { accepted: fixes.length - refused.length, refused };
  }

  function count(accepted: number, refusedCode?: string, refused = 1): void {
    if (accepted > 0) metrics.count('positions_accepted_total', {}, accepted);
    if (refusedCode !== undefined) metrics.count('positions_refused_total', { code: refusedCode }, refused);
  }
}

function newestOf(updates: readonly PositionUpdate[]): PositionUpdate | undefined {
  let newest: PositionUpdate | undefined;
  for (const one of updates)
    if (newest === undefined || one.recordedAtMs >= newest.recordedAtMs) newest = one;
  return newest;
}

const refuseAll = (fixes: readonly PositionFix[], code: string): PositionBatchResult => ({
  accepted: 0,
  refused: fixes.map((_, index) => ({ index, code })),
});

function codeOf(error: unknown): string {
  if (error instanceof Fault) return error.code;
  return isOutage(error) ? 'service.unavailable' : 'internal.error';
}

/** 4 decimals: about 11 m. */
const rounded = (degrees: number): number => Math.round(degrees * 10_000) / 10_000;
