import type { Product } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import { isTooFast } from './fixes.ts';
import { createGrid, type Grid } from './grid.ts';
import {
  availabilityLeaseMs,
  type DriverAvailability,
  type FoundDriver,
  latitudeMax,
  offlineLeaseMs,
  type PositionIndex,
  type PositionIndexDeps,
  type PositionUpdate,
  products,
  type RecordOutcome,
} from './index.ts';

interface Known {
  standing: (DriverAvailability & { checkedAtMs: number }) | undefined;
  fix: Spot | undefined;
  /** Was refused as too fast, after `fix`. */
  pending: Spot | undefined;
  touchedAtMs: number;
}
interface Spot {
  driverId: DriverId;
  point: LatLng;
  recordedAtMs: number;
}

/** The index of a single process: for a laptop, tests and simulation. */
export function createMemoryPositionIndex(options: PositionIndexDeps): PositionIndex {
  const { clock, freshnessMs, speedMetresPerSecondMax } = options;
  const drivers = new Map<DriverId, Known>();
  const grids = new Map<Product, Grid<Spot>>(products.map((product) => [product, createGrid<Spot>()]));

  return {
    record: async (updates) => updates.map(recordOne),
    async setAvailabilities(standings) {
      for (const standing of standings) setStanding(standing);
    },
    async nearest({ point, product, limit, radiusMetresMax, excluding }) {
      if (Math.abs(point.lat) > latitudeMax) return [];
      const excluded = new Set(excluding);
      const searched = product === undefined ? products : [product];
      const found = searched.flatMap((one) => search(one, point, limit, radiusMetresMax, excluded));
      return found.sort((a, b) => a.distanceMetres - b.distanceMetres).slice(0, limit);
    },
    async sweep() {
      const nowMs = clock.nowMs();
      let forgotten = 0;
      for (const [driverId, known] of drivers) {
        if (known.touchedAtMs >= nowMs - freshnessMs) continue;
        hide(known);
        drivers.delete(driverId);
        forgotten++;
      }
      return { forgotten, isMore: false };
    },
    ping: async () => undefined,
  };

  function recordOne({ driverId, point, recordedAtMs }: PositionUpdate): RecordOutcome {
    const nowMs = clock.nowMs();
    const known = drivers.get(driverId);
    const standing = known?.standing;
    if (known === undefined || standing === undefined) return { kind: 'unknown' };
    const checkedMsAgo = nowMs - standing.checkedAtMs;
    if (standing.availability === 'offline')
      return checkedMsAgo > offlineLeaseMs ? { kind: 'unknown' } : { kind: 'offline' };
    const recheck = checkedMsAgo > availabilityLeaseMs;
    const previousMs = known.fix?.recordedAtMs;
    if (previousMs !== undefined && recordedAtMs < previousMs)
      return { kind: 'outdated', previousMs, recheck };
    const spot = { driverId, point, recordedAtMs };
    if (previousMs !== undefined && jumped(known.fix, spot) && !isSecond(known.pending, spot)) {
      known.pending = spot;
      return { kind: 'too_fast', previousMs, recheck };
    }
    hide(known);
    known.fix = spot;
    known.pending = undefined;
    known.touchedAtMs = nowMs;
    show(known);
    return { kind: 'stored', busy: standing.availability === 'busy', previousMs, recheck };
  }

  /** A position that is stale by now is no evidence against the next one. */
  function jumped(fix: Spot | undefined, to: Spot): boolean {
    if (fix === undefined || to.recordedAtMs - fix.recordedAtMs > freshnessMs) return false;
    return isTooFast(fix, to, speedMetresPerSecondMax);
  }

  /** Two positions in a row that agree outweigh the one that both contradict. */
  function isSecond(pending: Spot | undefined, { point, recordedAtMs }: Spot): boolean {
    if (pending === undefined || recordedAtMs <= pending.recordedAtMs) return false;
    return !isTooFast(pending, { point, recordedAtMs }, speedMetresPerSecondMax);
  }

  function setStanding(standing: DriverAvailability): void {
    const before = drivers.get(standing.driverId)?.standing;
    if (before !== undefined && before.version > standing.version) return;
    const known = touch(standing.driverId);
    hide(known);
    known.standing = { ...standing, checkedAtMs: clock.nowMs() };
    // Where someone was who is not at work is nobody's business.
    if (standing.availability === 'offline') {
      known.fix = undefined;
      known.pending = undefined;
    }
    show(known);
  }

  function search(
    product: Product,
    point: LatLng,
    limit: number,
    radiusMetresMax: number,
    excluded: ReadonlySet<DriverId>,
  ): FoundDriver[] {
    const nowMs = clock.nowMs();
    const accept = ({ driverId, recordedAtMs }: Spot) =>
      recordedAtMs >= nowMs - freshnessMs && !excluded.has(driverId);
    const found = grids.get(product)?.nearest(point, limit, radiusMetresMax, accept) ?? [];
    return found.map(({ item, distanceMetres }) => ({ ...item, product, distanceMetres }));
  }

  function touch(driverId: DriverId): Known {
    const known = drivers.get(driverId) ?? {
      standing: undefined,
      fix: undefined,
      pending: undefined,
      touchedAtMs: 0,
    };
    known.touchedAtMs = clock.nowMs();
    drivers.set(driverId, known);
    return known;
  }

  function show({ standing, fix }: Known): void {
    if (fix !== undefined && standing?.availability === 'available' && standing.product !== null)
      grids.get(standing.product)?.add(fix);
  }

  function hide({ standing, fix }: Known): void {
    if (fix !== undefined && standing?.product != null) grids.get(standing.product)?.remove(fix);
  }
}
