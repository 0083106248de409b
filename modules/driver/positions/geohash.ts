import type { LatLng } from '@contracts/geo.ts';

// The scores of Redis geo sets: 26 bits of longitude and 26 of latitude, in turns, over the square of Web
// Mercator. They are made here and not by GEOADD, because they name a cell and not a place: see `cellScore`.

const bits = 26;
const latitudeEdge = 85.05112878;

/**
 * 19 bits of longitude and 18 of latitude: cells 72 m high, and 76 m wide at the equator. With larger ones
 * fewer entries move, but a search among a million drivers looks at twice as many.
 */
const [columnFineBits, rowFineBits] = [bits - 19, bits - 18];
const cellHeightDegrees = (2 * latitudeEdge) / 2 ** 18;
const cellWidthDegrees = 360 / 2 ** 19;
const metresPerDegree = 111_195;

/** The bits of 0 to 8191, each moved to its double place. */
const spread = Float64Array.from({ length: 2 ** 13 }, (_, value) => {
  let sum = 0;
  for (let bit = 0; bit < 13; bit++) sum += ((value >> bit) & 1) * 4 ** bit;
  return sum;
});
const spreadAll = (value: number): number =>
  (spread[value & 8191] ?? 0) + (spread[value >>> 13] ?? 0) * 4 ** 13;

const columnOf = (lng: number): number => Math.floor((wrapped(lng) / 360 + 0.5) * 2 ** bits);
const rowOf = (lat: number): number => Math.floor((lat / (2 * latitudeEdge) + 0.5) * 2 ** bits);

/** 180° is -180°: it would overflow the geohash, which then misses what lies across the date line. */
export const wrapped = (lng: number): number => (lng >= 180 ? lng - 360 : lng);

/**
 * The middle of the cell that a point lies in, as the score of a geo set. A driver's entry changes only
 * when he enters another cell: moving an entry costs more than all else of a write, and a car in traffic
 * leaves its cell with one update in three or four. A search looks half a cell further and measures from
 * the exact positions.
 */
export function cellScore({ lat, lng }: LatLng): number {
  const column = ((columnOf(lng) >> columnFineBits) << columnFineBits) + 2 ** (columnFineBits - 1);
  const row = ((rowOf(lat) >> rowFineBits) << rowFineBits) + 2 ** (rowFineBits - 1);
  return spreadAll(row) + 2 * spreadAll(column);
}

/** No point of a cell is farther from its middle, metres; the cell lies at this latitude. */
export function cellReachMetres(lat: number): number {
  const { width, height } = cellSizeMetres(lat);
  return Math.hypot(width, height) / 2 + 1;
}

/** Metres, where the cell is widest. */
export function cellSizeMetres(lat: number): { width: number; height: number } {
  const towardsEquator = Math.max(0, Math.abs(lat) - cellHeightDegrees);
  const width = cellWidthDegrees * metresPerDegree * Math.cos((towardsEquator * Math.PI) / 180);
  return { width, height: cellHeightDegrees * metresPerDegree };
}

/**
 * The scores of the point's cell, and of the cells of twice, four times, … its size around it, as far as
 * `levels` goes: from the least to below the next. Counting a range of scores costs a search in a tree.
 */
export function scoreRanges({ lat, lng }: LatLng, levels: number): { from: number; below: number }[] {
  const [row, column] = [rowOf(lat), columnOf(lng)];
  return Array.from({ length: levels }, (_, level) => {
    const [columnShift, rowShift] = [columnFineBits + level, rowFineBits + level];
    const from =
      spreadAll((row >> rowShift) << rowShift) + 2 * spreadAll((column >> columnShift) << columnShift);
    return { from, below: from + 2 ** (columnShift + rowShift) };
  });
}
