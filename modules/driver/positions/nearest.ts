import type { DriverId } from '@contracts/ids.ts';
import { type Cell, type CellRange, cellsAround, levelOf, rangesOf, splitCells } from './cells.ts';
import { createDensities } from './densities.ts';
import type { FoundDriver, NearestQuery } from './index.ts';

/** Free drivers of some runs of cells, and the runs that were too full to be read. */
export interface CellContents {
  drivers: readonly FoundDriver[];
  crowdedRanges: readonly CellRange[];
}

/**
 * Reads the drivers who are available, fresh and not held. A run of larger cells in which there are more
 * than `crowdMax` is not read; one of the smallest cells always is.
 */
export type ReadCells = (
  query: NearestQuery,
  runs: readonly CellRange[],
  crowdMax: number,
) => Promise<CellContents>;

// A cell is half as wide as the circle's radius, up to the whole: smaller ones are more ranges to read than
// they leave out drivers. A circle then reaches into 21 of them at most, and more are the edge of a crowd.
const cellRadii = 0.5;
const cellsMax = 24;
const [growthMin, growthMax] = [1.4, 3];

/**
 * The nearest drivers, exactly, by reading no more cells than it takes. The world is a tree of cells that
 * are quartered where the search looks. It reads all that reach into a circle that probably holds enough,
 * then those that may hold somebody nearer than the last one found: when there are none left, the answer is
 * complete, wherever the guess was wrong. All shards are asked for the same cells at the same time, so that
 * a city in many shards has no more drivers read than one in a single shard.
 *
 * A read sees each shard at one moment; a second one sees it a moment later. Who crosses in between from
 * a cell that is unread into one that is read can be missed by that search, and nobody else.
 */
export function createNearestSearch(read: ReadCells) {
  const densities = createDensities();

  return async function nearest(query: NearestQuery): Promise<FoundDriver[]> {
    const { point, product, limit, radiusMetresMax } = query;
    const wanted = limit + query.excluding.length;
    const nearby = createNearby(query);
    let radius = Math.min(radiusMetresMax, densities.radiusMetres(point, product, wanted));
    let unread = cellsAround(point, radiusMetresMax);
    for (;;) {
      const { inside, outside } = splitCells(point, unread, radius, levelOf(point.lat, radius * cellRadii));
      const { due, left } = nearestOf(inside);
      const { drivers, crowdedRanges } = await readSome(query, due, 4 * wanted + 32);
      drivers.forEach(nearby.add);
      const parts = crowdedRanges.flatMap(
        ({ cells, level }) => splitCells(point, cells, Infinity, level - 2).inside,
      );
      unread = [...outside, ...left, ...parts];
      const best = nearby.best();
      const farthest = best.length < limit ? radiusMetresMax : (best.at(-1)?.distanceMetres ?? 0);
      if (!unread.some(({ nearMetres }) => nearMetres <= farthest)) {
        const seenMetres = Math.min(radiusMetresMax, ...unread.map(({ nearMetres }) => nearMetres));
        densities.learn(point, product, nearby.within(seenMetres), seenMetres);
        return best;
      }
      if (best.length === limit) radius = farthest;
      else if (left.length + parts.length === 0)
        radius = Math.min(radiusMetresMax, radius * growthFor(best.length, limit));
    }
  };

  async function readSome(
    query: NearestQuery,
    cells: readonly Cell[],
    crowdMax: number,
  ): Promise<CellContents> {
    return cells.length === 0 ? { drivers: [], crowdedRanges: [] } : read(query, rangesOf(cells), crowdMax);
  }
}

function nearestOf(cells: Cell[]): { due: Cell[]; left: Cell[] } {
  if (cells.length <= cellsMax) return { due: cells, left: [] };
  cells.sort((a, b) => a.nearMetres - b.nearMetres);
  return { due: cells.slice(0, cellsMax), left: cells.slice(cellsMax) };
}

const growthFor = (count: number, limit: number): number =>
  Math.min(growthMax, Math.max(growthMin, Math.sqrt((1.5 * limit) / (count + 0.5))));

/** Whom a search has seen so far. A driver who moves meanwhile may be seen twice: where he was last counts. */
function createNearby({ limit, radiusMetresMax, excluding }: NearestQuery) {
  const excluded = new Set<DriverId>(excluding);
  const seen = new Map<DriverId, FoundDriver>();
  return {
    add(driver: FoundDriver): void {
      if (!excluded.has(driver.driverId)) seen.set(driver.driverId, driver);
    },
    within: (metres: number): number =>
      [...seen.values()].filter(({ distanceMetres }) => distanceMetres <= metres).length,
    best: (): FoundDriver[] =>
      [...seen.values()]
        .filter(({ distanceMetres }) => distanceMetres <= radiusMetresMax)
        .sort((a, b) => a.distanceMetres - b.distanceMetres)
        .slice(0, limit),
  };
}
