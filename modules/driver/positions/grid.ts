import { distanceMetres, type LatLng } from '@contracts/geo.ts';

/** A spatial index in memory: finds the items nearest to a point. */
export interface Grid<Item extends { point: LatLng }> {
  add(item: Item): void;
  remove(item: Item): void;
  /** At most `limit` items that pass `accept` within `radiusMetresMax`, nearest first. */
  nearest(
    point: LatLng,
    limit: number,
    radiusMetresMax: number,
    accept: (item: Item) => boolean,
  ): { item: Item; distanceMetres: number }[];
}

// About 1.1 km from north to south: a search in a city visits a few dozen cells.
const cellDegrees = 0.01;
const columns = Math.round(360 / cellDegrees);
const metresPerDegree = 111_195;

/** Stores items by cell. A search visits square rings of cells around the point until no nearer item can follow. */
export function createGrid<Item extends { point: LatLng }>(): Grid<Item> {
  const cells = new Map<number, Set<Item>>();

  return {
    add(item) {
      const key = cellOf(item.point);
      const cell = cells.get(key);
      if (cell === undefined) cells.set(key, new Set([item]));
      else cell.add(item);
    },
    remove(item) {
      const key = cellOf(item.point);
      const cell = cells.get(key);
      cell?.delete(item);
      if (cell?.size === 0) cells.delete(key);
    },
    nearest(point, limit, radiusMetresMax, accept) {
      const found: { item: Item; distanceMetres: number }[] = [];
      for (let ring = 0; ring <= columns / 2; ring++) {
        for (const key of ringAround(point, ring)) {
          for (const item of cells.get(key) ?? []) {
            const distance = distanceMetres(point, item.point);
            if (distance <= radiusMetresMax && accept(item)) found.push({ item, distanceMetres: distance });
          }
        }
        const reachedMetres = reachOf(point, ring);
        if (reachedMetres > radiusMetresMax) break;
        if (found.filter(({ distanceMetres }) => distanceMetres <= reachedMetres).length >= limit) break;
      }
      return found.sort((a, b) => a.distanceMetres - b.distanceMetres).slice(0, limit);
    },
  };
}

const rowOf = (lat: number) => Math.floor(lat / cellDegrees);
const columnOf = (lng: number) => Math.floor((lng + 180) / cellDegrees);
const keyOf = (row: number, column: number) => row * columns + (((column % columns) + columns) % columns);
const cellOf = ({ lat, lng }: LatLng) => keyOf(rowOf(lat), columnOf(lng));

/** The cells in the square ring at distance `ring` around the cell of the point; columns wrap around the globe. */
function* ringAround({ lat, lng }: LatLng, ring: number): Generator<number> {
  const row = rowOf(lat);
  const column = columnOf(lng);
  for (let dx = -ring; dx <= ring; dx++) {
    yield keyOf(row - ring, column + dx);
    if (ring > 0) yield keyOf(row + ring, column + dx);
  }
  for (let dy = 1 - ring; dy <= ring - 1; dy++) {
    yield keyOf(row + dy, column - ring);
    yield keyOf(row + dy, column + ring);
  }
}

/** The distance to the nearest edge of the square of all rings up to `ring`: no point outside is nearer. */
function reachOf({ lat, lng }: LatLng, ring: number): number {
  const row = rowOf(lat);
  const column = columnOf(lng);
  const southDegrees = lat - (row - ring) * cellDegrees;
  const northDegrees = (row + ring + 1) * cellDegrees - lat;
  const westDegrees = lng + 180 - (column - ring) * cellDegrees;
  const eastDegrees = (column + ring + 1) * cellDegrees - (lng + 180);
  const toParallel = Math.min(southDegrees, northDegrees) * metresPerDegree;
  // The shortest path to a meridian is the perpendicular great circle, not the path along the parallel.
  const sideways = radians(Math.min(westDegrees, eastDegrees, 90));
  const toMeridian = (Math.asin(Math.cos(radians(lat)) * Math.sin(sideways)) / radians(1)) * metresPerDegree;
  return Math.max(0, Math.min(toParallel, toMeridian) - 1);
}

const radians = (degrees: number) => (degrees * Math.PI) / 180;
