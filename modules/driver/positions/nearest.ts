import type { DriverId } from '@contracts/ids.ts';
import { type Cell, type CellRange, cellsAround, levelOf, rangesOf, splitCells } from './cells.ts';
import { createDensities } from './densities.ts';
import type { FoundDriver, NearestQuery } from './index.ts';

/** The available drivers in some ranges of cells, and the ranges that held too many drivers to be read. */
export interface CellContents {
  drivers: readonly FoundDriver[];
  crowdedRanges: readonly CellRange[];
}

/**
 * Reads the available drivers with fresh positions in some ranges of cells. A range of larger cells with more
 * than `crowdMax` drivers is not read; a range of the smallest cells always is.
 */
export type ReadCells = (
  query: NearestQuery,
  runs: readonly CellRange[],
  crowdMax: number,
) => Promise<CellContents>;

// A cell is between half and the whole of the circle's radius wide: with smaller cells, the extra ranges cost
// more than the drivers that they exclude. A circle then reaches into 21 cells at most; more occur only at the
// edge of a crowd.
const cellRadii = 0.5;
const cellsMax = 24;
const [growthMin, growthMax] = [1.4, 3];

/**
 * Finds exactly the nearest drivers while reading as few cells as possible. The world is a tree of cells, which
 * are split into four where the search needs it. The search reads all cells that reach into a circle that
 * probably holds enough drivers, then those that may hold a driver nearer than the last one found. When no
 * such cell remains, the result is complete, even where the estimate was wrong. All shards are queried for the
 * same cells concurrently, so that a city in many shards reads no more drivers than one in a single shard.
 *
 * Each read sees a shard at a different moment. A driver who moves between two reads from an unread cell into
 * one that was already read can be missed by that search.
 */
export function createNearestSearch(read: ReadCells) {
  const densities = createDensities();

  return async function nearest(query: NearestQuery): Promise<FoundDriver[]> {
    const { point, product, limit, radiusMetresMax } = query;
    const driversWanted = limit + query.excluding.length;
    const results = createResults(query);
    let radius = Math.min(radiusMetresMax, densities.radiusMetres(point, product, driversWanted));
    let unread = cellsAround(point, radiusMetresMax);
    for (;;) {
      const { inside, outside } = splitCells(point, unread, radius, levelOf(point.lat, radius * cellRadii));
      const { toRead, remaining } = nearestOf(inside);
      const { drivers, crowdedRanges } = await readCells(query, toRead, 4 * driversWanted + 32);
      drivers.forEach(results.add);
      const parts = crowdedRanges.flatMap(
        ({ cells, level }) => splitCells(point, cells, Infinity, level - 2).inside,
      );
      unread = [...outside, ...remaining, ...parts];
      const best = results.best();
      const farthest = best.length < limit ? radiusMetresMax : (best.at(-1)?.distanceMetres ?? 0);
      if (!unread.some(({ nearMetres }) => nearMetres <= farthest)) {
        const seenMetres = Math.min(radiusMetresMax, ...unread.map(({ nearMetres }) => nearMetres));
        densities.learn(point, product, results.within(seenMetres), seenMetres);
        return best;
      }
      if (best.length === limit) radius = farthest;
      else if (remaining.length + parts.length === 0)
        radius = Math.min(radiusMetresMax, radius * growthFor(best.length, limit));
    }
  };

  async function readCells(
    query: NearestQuery,
    cells: readonly Cell[],
    crowdMax: number,
  ): Promise<CellContents> {
    return cells.length === 0 ? { drivers: [], crowdedRanges: [] } : read(query, rangesOf(cells), crowdMax);
  }
}

function nearestOf(cells: Cell[]): { toRead: Cell[]; remaining: Cell[] } {
  if (cells.length <= cellsMax) return { toRead: cells, remaining: [] };
  cells.sort((a, b) => a.nearMetres - b.nearMetres);
  return { toRead: cells.slice(0, cellsMax), remaining: cells.slice(cellsMax) };
}

const growthFor = (count: number, limit: number): number =>
  Math.min(growthMax, Math.max(growthMin, Math.sqrt((1.5 * limit) / (count + 0.5))));

/** The drivers that a search has read so far. For a driver who was read twice, the later position counts. */
function createResults({ limit, radiusMetresMax, excluding }: NearestQuery) {
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
