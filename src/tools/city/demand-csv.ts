import type { LatLng } from '@contracts/geo.ts';
import type { Random } from '@platform/random.ts';
import { type Demand, type DemandModel, drawProduct, ensureTripDistance } from './demand.ts';
import { drawBetween, scatterAround, shuffled } from './random-draws.ts';

/** One recorded request. Only its time of day and its places are used. */
export interface DemandRow {
  secondOfDay: number;
  pickup: LatLng;
  dropoff: LatLng;
}
export interface InvalidRow {
  line: number;
  reason: string;
}
export type DemandFile =
  | { kind: 'read'; rows: DemandRow[]; invalid: InvalidRow[] }
  | { kind: 'unusable'; message: string };

const columns = ['requested_at', 'pickup_lat', 'pickup_lng', 'dropoff_lat', 'dropoff_lng'] as const;
type Column = (typeof columns)[number];

/**
 * Parses a demand file: a header with at least `requested_at` (Unix seconds or RFC 3339), `pickup_lat`, `pickup_lng`,
 * `dropoff_lat` and `dropoff_lng` in any order, then one request per line. Invalid rows are skipped and reported with
 * their line; a wrong header or a file without a valid row is `unusable`.
 */
export function parseDemand(text: string): DemandFile {
  const [header = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const columnNames = splitLine(header).map((name) => name.trim().toLowerCase());
  const missing = columns.filter((column) => !columnNames.includes(column));
  if (missing.length > 0) {
    return {
      kind: 'unusable',
      message: `the header must contain the columns ${columns.join(',')}; missing: ${missing.join(', ')}`,
    };
  }
  const rows: DemandRow[] = [];
  const invalid: InvalidRow[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const row = parseRow(splitLine(line), columnNames);
    if (typeof row === 'string') invalid.push({ line: index + 2, reason: row });
    else rows.push(row);
  }
  if (rows.length > 0) return { kind: 'read', rows, invalid };
  const first = invalid[0];
  const reason = first === undefined ? 'the file has no rows' : `line ${first.line}: ${first.reason}`;
  return { kind: 'unusable', message: `no row is valid (${reason})` };
}

/** Splits a line into cells. A cell may be quoted, with `""` for a quote inside; it can not contain line breaks. */
function splitLine(line: string): string[] {
  if (!line.includes('"')) return line.split(',');
  const cell = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  const cells: string[] = [];
  for (;;) {
    const match = cell.exec(line);
    // A stray quote: the row is rejected because its number of cells does not match.
    if (match === null) return [];
    cells.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    if (match[3] === '') return cells;
  }
}

/** Returns the row, or the reason why it is invalid. */
function parseRow(cells: readonly string[], columnNames: readonly string[]): DemandRow | string {
  if (cells.length !== columnNames.length)
    return `has ${cells.length} cells instead of ${columnNames.length}`;
  const cell = (column: Column) => (cells[columnNames.indexOf(column)] ?? '').trim();
  const secondOfDay = parseSecondOfDay(cell('requested_at'));
  if (secondOfDay === undefined)
    return `requested_at is neither Unix seconds nor RFC 3339: ${quoteText(cell('requested_at'))}`;
  const pickup = parsePoint(cell('pickup_lat'), cell('pickup_lng'));
  if (pickup === undefined)
    return `the pickup is not a valid coordinate: ${quoteText(`${cell('pickup_lat')},${cell('pickup_lng')}`)}`;
  const dropoff = parsePoint(cell('dropoff_lat'), cell('dropoff_lng'));
  if (dropoff === undefined)
    return `the drop-off is not a valid coordinate: ${quoteText(`${cell('dropoff_lat')},${cell('dropoff_lng')}`)}`;
  return { secondOfDay, pickup, dropoff };
}

const quoteText = (text: string): string => JSON.stringify(text.slice(0, 60));
const daySeconds = 86_400;
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

function parseSecondOfDay(text: string): number | undefined {
  const isTime = /^\d{4}-\d{2}-\d{2}[T ]/.test(text);
  const seconds = decimal.test(text) ? Number(text) : isTime ? Date.parse(text) / 1000 : Number.NaN;
  if (!Number.isFinite(seconds) || Math.abs(seconds) > 1e11) return undefined;
  return ((seconds % daySeconds) + daySeconds) % daySeconds;
}

function parsePoint(latText: string, lngText: string): LatLng | undefined {
  if (!decimal.test(latText) || !decimal.test(lngText)) return undefined;
  const [lat, lng] = [Number(latText), Number(lngText)];
  return Math.abs(lat) <= 90 && Math.abs(lng) <= 180 ? { lat, lng } : undefined;
}

// Published trips are rounded in time (15 minutes) and place (the centre of a district), so they are spread over
// the range that they were rounded from.
const timeSpreadSeconds = 900;
const placeSigmaMetres = 200;
const dayRequestsMax = 1000;

/**
 * All rows together form one day. The city draws up to 1,000 of them and compresses the day to the requested rate:
 * busy hours stay busy and quiet hours stay quiet. Then the next day follows.
 */
export function createRecordedDemand(rows: readonly DemandRow[], tripsPerDay: number): DemandModel {
  const dayTrips = Math.max(1, Math.min(tripsPerDay, dayRequestsMax));

  function* requests(ratePerSecond: number, random: Random): Generator<Demand, never> {
    const windowSeconds = dayTrips / ratePerSecond;
    const queue = drawEndlessly(rows, random);
    for (let day = 0; ; day++) {
      const drawn = Array.from({ length: dayTrips }, () => spread(queue.next().value, random));
      drawn.sort((a, b) => a.secondOfDay - b.secondOfDay);
      for (const [index, row] of drawn.entries()) {
        const atSeconds = (day + row.secondOfDay / daySeconds) * windowSeconds;
        const { pickup, dropoff } = row;
        yield { index: day * dayTrips + index, atSeconds, pickup, dropoff, product: drawProduct(random) };
      }
    }
  }

  function randomPoint(random: Random): LatLng {
    const row = rows[Math.floor(random.next() * rows.length)];
    if (row === undefined) throw new RangeError('the demand has no rows');
    return scatterAround(row.pickup, placeSigmaMetres, random);
  }

  return { requests, randomPoint };
}

/** Yields every row once in random order before any row repeats. */
function* drawEndlessly(rows: readonly DemandRow[], random: Random): Generator<DemandRow, never> {
  if (rows.length === 0) throw new RangeError('the demand has no rows');
  for (;;) yield* shuffled(rows, random);
}

function spread(row: DemandRow, random: Random): DemandRow {
  const shifted = row.secondOfDay + drawBetween(random, -timeSpreadSeconds / 2, timeSpreadSeconds / 2);
  const pickup = scatterAround(row.pickup, placeSigmaMetres, random);
  const dropoff = ensureTripDistance(pickup, scatterAround(row.dropoff, placeSigmaMetres, random), random);
  return { secondOfDay: (shifted + daySeconds) % daySeconds, pickup, dropoff };
}
