import type { LatLng } from '@contracts/geo.ts';
import {
  cellHeightDegrees,
  cellWidthDegrees,
  columnsOf,
  latitudeEdge,
  rowsOf,
  scoresOf,
  wrapLongitude,
} from './geohash.ts';

/** A cell of the index (level 0), or a larger cell made of 4, 16, … of them, relative to the point of a search. */
export interface Cell {
  level: number;
  row: number;
  /** Continues across the date line: may be negative or exceed the number of columns. */
  column: number;
  /** Lower bound of the distance from the point to anything in the cell. */
  nearMetres: number;
}

/** Cells of one level whose scores form one contiguous range. */
export interface CellRange {
  level: number;
  from: number;
  to: number;
  cells: Cell[];
}

// At this level the world has 4 rows and 8 columns; no search needs larger cells.
const levelMax = 16;
const earthRadiusMetres = 6_371_008.8;
const metresPerDegree = (earthRadiusMetres * Math.PI) / 180;
const radians = (degrees: number) => (degrees * Math.PI) / 180;

/** The level of the smallest cells that are at least `metres` wide and high at that latitude. */
export function levelOf(lat: number, metres: number): number {
  const shorter = Math.min(cellHeightDegrees, cellWidthDegrees * Math.cos(radians(lat))) * metresPerDegree;
  return Math.min(levelMax, Math.max(0, Math.ceil(Math.log2(metres / shorter))));
}

/** At most nine cells that together contain everything within the radius. */
export function cellsAround(point: LatLng, radiusMetres: number): Cell[] {
  const level = levelOf(point.lat, radiusMetres);
  const row = Math.floor((point.lat + latitudeEdge) / (cellHeightDegrees * 2 ** level));
  const column = Math.floor((wrapLongitude(point.lng) + 180) / (cellWidthDegrees * 2 ** level));
  const rows = [row - 1, row, row + 1].filter((candidate) => candidate >= 0 && candidate < rowsOf(level));
  return rows.flatMap((cellRow) =>
    [column - 1, column, column + 1].map((cellColumn) => cellAt(point, level, cellRow, cellColumn)),
  );
}

/** The four cells that a larger cell consists of. */
const quartersOf = (point: LatLng, { level, row, column }: Cell): Cell[] => [
  cellAt(point, level - 1, 2 * row, 2 * column),
  cellAt(point, level - 1, 2 * row, 2 * column + 1),
  cellAt(point, level - 1, 2 * row + 1, 2 * column),
  cellAt(point, level - 1, 2 * row + 1, 2 * column + 1),
];

/** Splits cells that reach into the circle down to the given level; cells outside the circle are not split. */
export function splitCells(
  point: LatLng,
  cells: readonly Cell[],
  radiusMetres: number,
  level: number,
): { inside: Cell[]; outside: Cell[] } {
  const inside: Cell[] = [];
  const outside: Cell[] = [];
  const open = [...cells];
  for (let cell = open.pop(); cell !== undefined; cell = open.pop()) {
    if (cell.nearMetres > radiusMetres) outside.push(cell);
    else if (cell.level <= level || cell.level === 0) inside.push(cell);
    else open.push(...quartersOf(point, cell));
  }
  return { inside, outside };
}

/** Merges cells with adjacent scores: half as many ranges as cells. Reading a range costs as much as three drivers. */
export function rangesOf(cells: readonly Cell[]): CellRange[] {
  const single = cells.map((cell): CellRange => {
    const { level, row, column } = cell;
    const columns = columnsOf(level);
    return { level, cells: [cell], ...scoresOf(level, row, ((column % columns) + columns) % columns) };
  });
  const runs: CellRange[] = [];
  for (const run of single.sort((a, b) => a.from - b.from)) {
    const last = runs.at(-1);
    if (last === undefined || last.level !== run.level || last.to + 1 !== run.from) runs.push(run);
    else {
      last.to = run.to;
      last.cells.push(...run.cells);
    }
  }
  return runs;
}

function cellAt(point: LatLng, level: number, row: number, column: number): Cell {
  const [height, width] = [cellHeightDegrees * 2 ** level, cellWidthDegrees * 2 ** level];
  const south = row * height - latitudeEdge;
  const west = column * width - 180;
  const lng = wrapLongitude(point.lng);
  const halfLat = Math.sin(radians(Math.max(south - point.lat, point.lat - south - height, 0)) / 2);
  const halfLng = Math.sin(radians(Math.max(west - lng, lng - west - width, 0)) / 2);
  // Meridians are closest to one another at the edge farther from the equator.
  const cosEdge = Math.cos(radians(Math.min(90, Math.max(-south, south + height))));
  const h = halfLat * halfLat + Math.cos(radians(point.lat)) * cosEdge * halfLng * halfLng;
  return { level, row, column, nearMetres: 2 * earthRadiusMetres * Math.asin(Math.sqrt(h)) };
}
