import type { Product } from '@contracts/drivers.ts';
import { distanceMetres, type LatLng } from '@contracts/geo.ts';
import type { DriverId } from '@contracts/ids.ts';
import { cellScore, wrapLongitude } from './geohash.ts';
import type { FoundDriver, PositionUpdate, RecordOutcome } from './index.ts';

// The binary format of positions in Redis and in the arguments of the scripts. Numbers are big-endian doubles,
// so that nothing is parsed from text and no digit is lost. A batch is one argument, because each argument of a
// script has a cost of its own that exceeds that of its bytes.

const idBytes = 36;
export const updateBytes = idBytes + 4 * 8;

/** Encodes each update as id, recordedAtMs, lat, lng and score of the cell. */
export function encodeUpdates(updates: readonly PositionUpdate[]): Buffer {
  const packed = Buffer.allocUnsafe(updates.length * updateBytes);
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  let at = 0;
  for (const { driverId, point, recordedAtMs } of updates) {
    packed.write(driverId, at, idBytes, 'latin1');
    view.setFloat64(at + 36, recordedAtMs);
    view.setFloat64(at + 44, point.lat);
    view.setFloat64(at + 52, wrapLongitude(point.lng));
    view.setFloat64(at + 60, cellScore(point));
    at += updateBytes;
  }
  return packed;
}

/** The outcome of one update in the reply of the script `record`. Upper case means that a recheck is due. */
export const recordCode = {
  stored: 's',
  storedBusy: 'b',
  outdated: 'o',
  tooFast: 'f',
  offline: 'x',
  unknown: 'u',
} as const;

const charCodes = Object.fromEntries(
  Object.entries(recordCode).map(([name, code]) => [name, code.charCodeAt(0)]),
) as Record<keyof typeof recordCode, number>;
const lowerCase = 32;

/** Decodes one outcome for each letter of `codes`; `previous` has the times of the previous positions, or 0. */
export function decodeOutcomes(codes: Buffer, previous: Buffer): RecordOutcome[] {
  const view = new DataView(previous.buffer, previous.byteOffset, previous.length);
  return Array.from(codes, (code, index) => decodeOutcome(code, view.getFloat64(index * 8)));
}

function decodeOutcome(code: number, previous: number): RecordOutcome {
  const recheck = (code & lowerCase) === 0;
  switch (code | lowerCase) {
    case charCodes.stored:
      return { kind: 'stored', busy: false, previousMs: previous === 0 ? undefined : previous, recheck };
    case charCodes.storedBusy:
      return { kind: 'stored', busy: true, previousMs: previous === 0 ? undefined : previous, recheck };
    case charCodes.outdated:
      return { kind: 'outdated', previousMs: previous, recheck };
    case charCodes.tooFast:
      return { kind: 'too_fast', previousMs: previous, recheck };
    case charCodes.offline:
      return { kind: 'offline' };
    default:
      return { kind: 'unknown' };
  }
}

/** Length of the first part of a driver's value, which the script `readCells` returns: the time and the position. */
export const positionBytes = 24;

/** Decodes the drivers with a fresh position and computes their distance. */
export function decodeDrivers(
  packed: Buffer,
  product: Product,
  from: LatLng,
  freshAfterMs: number,
): FoundDriver[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const found: FoundDriver[] = [];
  for (let at = 0; at < packed.length; at += idBytes + positionBytes) {
    const recordedAtMs = view.getFloat64(at + 36);
    if (recordedAtMs < freshAfterMs) continue;
    const point = { lat: view.getFloat64(at + 44), lng: view.getFloat64(at + 52) };
    found.push({
      // The scripts return the same bytes that were written from a DriverId.
      driverId: packed.toString('latin1', at, at + idBytes) as DriverId,
      product,
      point,
      recordedAtMs,
      distanceMetres: distanceMetres(from, point),
    });
  }
  return found;
}
