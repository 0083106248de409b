import type { LatLng } from '@contracts/geo.ts';

// Scores of the sorted sets: 26 bits of longitude interleaved with 26 bits of latitude over the Web Mercator
// square, as in the GEO sets of Redis. A score names a cell and not an exact point (see `cellScore`). All
// drivers of a cell, or of a larger cell made of 4, 16, … cells, have scores in one contiguous range.

const bits = 26;
export const latitudeEdge = 85.05112878;

/**
 * Cells have 19 bits of longitude and 18 of latitude: 72 m high, and 76 m wide at the equator. With larger
 * cells fewer entries move, but a search among a million drivers reads twice as many.
 */
const [columnFineBits, rowFineBits] = [bits - 19, bits - 18];
export const cellHeightDegrees = (2 * latitudeEdge) / 2 ** 18;
export const cellWidthDegrees = 360 / 2 ** 19;

/** The bits of 0 to 8191, each moved from position n to position 2n. */
const spread = Float64Array.from({ length: 2 ** 13 }, (_, value) => {
  let sum = 0;
  for (let bit = 0; bit < 13; bit++) sum += ((value >> bit) & 1) * 4 ** bit;
  return sum;
});
const spreadAll = (value: number): number =>
  (spread[value & 8191] ?? 0) + (spread[value >>> 13] ?? 0) * 4 ** 13;

const columnOf = (lng: number): number => Math.floor((wrapLongitude(lng) / 360 + 0.5) * 2 ** bits);
const rowOf = (lat: number): number => Math.floor((lat / (2 * latitudeEdge) + 0.5) * 2 ** bits);

/** Maps 180° to -180°: it would overflow the geohash, and searches would miss drivers across the date line. */
export const wrapLongitude = (lng: number): number => (lng >= 180 ? lng - 360 : lng);

/**
 * The score of the centre of the cell that contains the point. A driver's entry in the sorted set changes only
 * when they enter another cell: moving an entry costs more than the rest of a write, and a car in traffic
 * leaves its cell with one update in three or four. Searches measure distances from the exact positions.
 */
export function cellScore({ lat, lng }: LatLng): number {
  const column = ((columnOf(lng) >> columnFineBits) << columnFineBits) + 2 ** (columnFineBits - 1);
  const row = ((rowOf(lat) >> rowFineBits) << rowFineBits) + 2 ** (rowFineBits - 1);
  return spreadAll(row) + 2 * spreadAll(column);
}

/** Number of rows and columns of cells in the world at a level; level 0 is the cells of the index. */
export const rowsOf = (level: number): number => 2 ** (bits - rowFineBits - level);
export const columnsOf = (level: number): number => 2 ** (bits - columnFineBits - level);

/** The lowest and highest score in a cell of the given level. */
export function scoresOf(level: number, row: number, column: number): { from: number; to: number } {
  const [rowShift, columnShift] = [rowFineBits + level, columnFineBits + level];
  const from = spreadAll(row * 2 ** rowShift) + 2 * spreadAll(column * 2 ** columnShift);
  return { from, to: from + 2 ** (rowShift + columnShift) - 1 };
}
