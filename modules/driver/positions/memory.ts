import { type Product, type ProductTable, productsOf, productTable } from '@contracts/drivers.ts';
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
  type PositionRules,
  type PositionUpdate,
  type RecordOutcome,
} from './index.ts';

interface DriverEntry {
  availability: (DriverAvailability & { checkedAtMs: number }) | undefined;
  position: RecordedPosition | undefined;
  /** The position that was rejected as too fast after `position`. */
  pending: RecordedPosition | undefined;
  touchedAtMs: number;
}
interface RecordedPosition {
  driverId: DriverId;
  point: LatLng;
  recordedAtMs: number;
}

/** The position index of a single process: for a laptop, tests and the simulation. */
export function createMemoryPositionIndex({
  clock,
  products = productTable,
  ...rules
}: PositionIndexDeps): PositionIndex {
  const drivers = new Map<DriverId, DriverEntry>();
  const grids = createProductGrids(products);

  return {
    record: async (updates) => updates.map(recordUpdate),
    async setAvailabilities(availabilities) {
      for (const availability of availabilities) setAvailability(availability);
    },
    async nearest({ point, product, limit, radiusMetresMax, excluding }) {
      if (Math.abs(point.lat) > latitudeMax) return [];
      const recordedAtMsMin = clock.nowMs() - rules.freshnessMs;
      const excluded = new Set(excluding);
      const accept = ({ driverId, recordedAtMs }: RecordedPosition) =>
        recordedAtMs >= recordedAtMsMin && !excluded.has(driverId);
      const searched = product === undefined ? productsOf(products) : [product];
      return searched
        .flatMap((each) => grids.search(each, point, limit, radiusMetresMax, accept))
        .sort((a, b) => a.distanceMetres - b.distanceMetres)
        .slice(0, limit);
    },
    async sweep() {
      const nowMs = clock.nowMs();
      let forgotten = 0;
      for (const [driverId, entry] of drivers) {
        if (entry.touchedAtMs >= nowMs - rules.freshnessMs) continue;
        grids.remove(entry);
        drivers.delete(driverId);
        forgotten++;
      }
      return { forgotten, isMore: false };
    },
    ping: async () => undefined,
  };

  function recordUpdate({ driverId, point, recordedAtMs }: PositionUpdate): RecordOutcome {
    const nowMs = clock.nowMs();
    const entry = drivers.get(driverId);
    const availability = entry?.availability;
    if (entry === undefined || availability === undefined) return { kind: 'unknown' };
    const checkedMsAgo = nowMs - availability.checkedAtMs;
    if (availability.availability === 'offline')
      return checkedMsAgo > offlineLeaseMs ? { kind: 'unknown' } : { kind: 'offline' };
    const recheck = checkedMsAgo > availabilityLeaseMs;
    const previousMs = entry.position?.recordedAtMs;
    if (previousMs !== undefined && recordedAtMs < previousMs)
      return { kind: 'outdated', previousMs, recheck };
    const position = { driverId, point, recordedAtMs };
    if (
      previousMs !== undefined &&
      isJump(entry.position, position, rules) &&
      !confirmsPending(entry.pending, position, rules)
    ) {
      entry.pending = position;
      return { kind: 'too_fast', previousMs, recheck };
    }
    grids.remove(entry);
    entry.position = position;
    entry.pending = undefined;
    entry.touchedAtMs = nowMs;
    grids.add(entry);
    return { kind: 'stored', busy: availability.availability === 'busy', previousMs, recheck };
  }

  function setAvailability(availability: DriverAvailability): void {
    const before = drivers.get(availability.driverId)?.availability;
    if (before !== undefined && before.version > availability.version) return;
    const entry = touch(availability.driverId);
    grids.remove(entry);
    entry.availability = { ...availability, checkedAtMs: clock.nowMs() };
    // The position of a driver who is not at work is not kept.
    if (availability.availability === 'offline') {
      entry.position = undefined;
      entry.pending = undefined;
    }
    grids.add(entry);
  }

  function touch(driverId: DriverId): DriverEntry {
    const entry = drivers.get(driverId) ?? {
      availability: undefined,
      position: undefined,
      pending: undefined,
      touchedAtMs: 0,
    };
    entry.touchedAtMs = clock.nowMs();
    drivers.set(driverId, entry);
    return entry;
  }
}

/** A stored position that is stale by now is not compared with the next one. */
function isJump(
  from: RecordedPosition | undefined,
  to: RecordedPosition,
  { freshnessMs, speedMetresPerSecondMax }: PositionRules,
): boolean {
  if (from === undefined || to.recordedAtMs - from.recordedAtMs > freshnessMs) return false;
  return isTooFast(from, to, speedMetresPerSecondMax);
}

/** Two consecutive positions that agree outweigh a stored one that both contradict. */
function confirmsPending(
  pending: RecordedPosition | undefined,
  position: RecordedPosition,
  { speedMetresPerSecondMax }: PositionRules,
): boolean {
  if (pending === undefined || position.recordedAtMs <= pending.recordedAtMs) return false;
  return !isTooFast(pending, position, speedMetresPerSecondMax);
}

/** The positions of available drivers, in one grid for each product. */
function createProductGrids(products: ProductTable) {
  const grids = new Map<Product, Grid<RecordedPosition>>(
    productsOf(products).map((product) => [product, createGrid<RecordedPosition>()]),
  );

  return {
    add({ availability, position }: DriverEntry): void {
      if (position === undefined || availability?.availability !== 'available') return;
      if (availability.product !== null) grids.get(availability.product)?.add(position);
    },
    remove({ availability, position }: DriverEntry): void {
      if (position !== undefined && availability?.product != null)
        grids.get(availability.product)?.remove(position);
    },
    search(
      product: Product,
      point: LatLng,
      limit: number,
      radiusMetresMax: number,
      accept: (position: RecordedPosition) => boolean,
    ): FoundDriver[] {
      const found = grids.get(product)?.nearest(point, limit, radiusMetresMax, accept) ?? [];
      return found.map(({ item, distanceMetres }) => ({ ...item, product, distanceMetres }));
    },
  };
}
