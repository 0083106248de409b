import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import { type PositionBatchResult, positionBatchMax, type TrackSummary } from '@contracts/drivers.ts';
import { asPersonId, type DriverId, type TripId } from '@contracts/ids.ts';
import type { PositionUpdate } from '@modules/driver/positions/index.ts';
import { createTestDriver, sampleDriverTripEvent, type TestDriver } from '@modules/driver/testing/harness.ts';
import { createPositionBatcher } from '@modules/notification/live/position-batcher.ts';
import type { PositionSink } from '@modules/notification/ports.ts';
import {
  startTestInstance,
  type TestInstance,
  type TestSocket,
} from '@modules/notification/testing/harness.ts';
import { systemClock } from '@platform/clock.ts';
import { createMetrics } from '@platform/metrics.ts';
import { testServiceCredentials } from '@testing/service-auth.ts';
import { until } from '@testing/until.ts';
import { createInProcessPositionSink, createPositionBatchClient } from './clients.ts';

// An invalid position is rejected with the same code at every entry point, and changes neither the index, nor the
// track of the trip, nor what the following rider sees.

const place = { lat: 10.772112, lng: 106.698256 };
const nextPlace = { lat: 10.772512, lng: 106.698256 };

/** The codes of an entry point for a text that is not JSON, and for JSON that violates the schema. */
interface ParseErrorCodes {
  malformed: string;
  invalid: string;
}
interface EntryPoint extends ParseErrorCodes {
  /** Sends a fix, given as JSON text. Resolves to the codes of the rejections. */
  send(driverId: DriverId, fix: string): Promise<string[]>;
}

const http: ParseErrorCodes = { malformed: 'request.malformed', invalid: 'request.invalid' };
const frames: ParseErrorCodes = { malformed: 'realtime.frame_malformed', invalid: 'realtime.frame_invalid' };
const inFrame = (type: string, fields: string) => `{"type":"${type}",${fields}`;

let driver: TestDriver;
let inProcessInstance: TestInstance;
let httpInstance: TestInstance;
const sockets = new Map<string, Promise<TestSocket>>();
let moves: PositionUpdate[] = [];
/** A driver without a trip, who is a candidate for searches, and a driver on a trip. */
let freeDriverId: DriverId;
let onTripDriverId: DriverId;
let tripId: TripId;

beforeAll(async () => {
  driver = await createTestDriver({
    followers: { sendPositions: async (positions) => void moves.push(...positions) },
  });
  for (const worker of driver.context.workers) await worker.start();
  const settings = { SOCKET_ERRORS_PER_MINUTE_MAX: '10000' };
  inProcessInstance = await startTestInstance({
    positions: createInProcessPositionSink(driver.context.intake),
    settings,
  });
  httpInstance = await startTestInstance({ positions: gathered(driver), settings });
  freeDriverId = await driver.createAvailableDriver();
  onTripDriverId = await driver.createAvailableDriver();
  tripId = driver.ids<TripId>();
  const assigned = { version: 2, atMs: driver.clock.nowMs() };
  await driver.bus.publish([sampleDriverTripEvent('trip.assigned.v1', onTripDriverId, tripId, assigned)]);
  const me = () => driver.send('GET', '/v1/drivers/me', { as: [onTripDriverId, 'driver'] });
  await until(async () => JSON.stringify((await me()).json).includes('on_trip'));
});
afterAll(async () => {
  await inProcessInstance.stop();
  await httpInstance.stop();
  for (const worker of driver.context.workers.toReversed()) await worker.stop();
  await driver.close();
});

const gathered = ({ clock, fetch }: TestDriver): PositionSink =>
  createPositionBatcher({
    client: createPositionBatchClient({ clock }, testServiceCredentials(clock), {
      url: 'http://driver',
      fetch,
    }),
    clock: systemClock,
    metrics: createMetrics(),
    windowMs: 0,
  });

const entryPoints: Record<string, EntryPoint> = {
  'PUT location': { ...http, send: put },
  'POST locations': { ...http, send: (driverId, fix) => post(driverId, `{"points":[${fix}]}`) },
  'a frame location': {
    ...frames,
    send: (driverId, fix) =>
      sendFrame(inProcessInstance, driverId, inFrame('location', fix.replace(/^\{/, ''))),
  },
  'a frame locations': {
    ...frames,
    send: (driverId, fix) =>
      sendFrame(inProcessInstance, driverId, inFrame('locations', `"points":[${fix}]}`)),
  },
  'a frame locations, over HTTP': {
    ...frames,
    send: (driverId, fix) => sendFrame(httpInstance, driverId, inFrame('locations', `"points":[${fix}]}`)),
  },
};

async function put(driverId: DriverId, body: string): Promise<string[]> {
  const { code } = await driver.send('PUT', '/v1/drivers/me/location', { as: [driverId, 'driver'], body });
  return code === undefined ? [] : [code];
}

async function post(driverId: DriverId, body: string): Promise<string[]> {
  const as = [driverId, 'driver'] as const;
  const { code, json } = await driver.send('POST', '/v1/drivers/me/locations', { as, body });
  return code === undefined ? (json as PositionBatchResult).refused.map((entry) => entry.code) : [code];
}

/** Resolves once the frame was rejected or its points were counted as accepted. */
async function sendFrame(
  instance: TestInstance,
  driverId: DriverId,
  frame: string | Uint8Array,
): Promise<string[]> {
  const socket = await socketOf(instance, driverId);
  const [before, taken] = [socket.errorCodes().length, acceptedCount()];
  socket.send(frame);
  await until(() => socket.errorCodes().length > before || acceptedCount() > taken);
  return socket.errorCodes().slice(before);
}

const acceptedCount = () => Number(/^positions_accepted_total (\d+)$/m.exec(driver.metrics.text())?.[1] ?? 0);

function socketOf(instance: TestInstance, driverId: DriverId): Promise<TestSocket> {
  const key = `${instance.url} ${driverId}`;
  const socket = sockets.get(key) ?? instance.connect(asPersonId(driverId), 'driver');
  sockets.set(key, socket);
  return socket;
}

/** The stored state of the two drivers: index, track of the trip, and the positions sent to the rider. */
async function readState() {
  // Followers get positions at intervals. Stopping the track recorder saves all pending points.
  await driver.clock.advance(1_000);
  await driver.context.workers.find(({ name }) => name === 'driver.tracks')?.stop();
  const query = { point: place, limit: 50, radiusMetresMax: 50_000, excluding: [] };
  const { json } = await driver.send('GET', `/internal/driver/tracks/${tripId}`);
  return { found: await driver.index.nearest(query), track: json as TrackSummary, moves: moves.length };
}

/** Both drivers report `place` now. */
async function reportPlace() {
  moves = [];
  for (const driverId of [freeDriverId, onTripDriverId])
    expect(await put(driverId, JSON.stringify(place))).toEqual([]);
  const before = await readState();
  expect(before.found.map((entry) => entry.driverId)).toEqual([freeDriverId]);
  expect(before.track.points).toBeGreaterThan(0);
  return before;
}

const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);
const text = (fields: object) => JSON.stringify({ ...place, ...fields });
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const withField = (name: string, value: string) => `{"lat":10.772112,"lng":106.698256,"${name}":${value}}`;
const unknownFields = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`f${n}`, 0]));

type InvalidFix = [name: string, fix: () => string, code: keyof ParseErrorCodes | `position.${string}`];
const invalidFixes: InvalidFix[] = [
  ['NaN', () => '{"lat":NaN,"lng":106.7}', 'malformed'],
  ['Infinity', () => '{"lat":Infinity,"lng":106.7}', 'malformed'],
  ['truncated JSON', () => '{"lat":10.7,', 'malformed'],
  ['a form body', () => '{lat=10.7&lng=106.7', 'malformed'],
  ['a trailing comma', () => '{"lat":10.7,"lng":106.7,}', 'malformed'],
  ['a NUL character', () => '{"lat":10.7,"lng":106.7\u0000}', 'malformed'],
  ['unclosed nesting', () => withField('x', '['.repeat(10_000)), 'malformed'],
  ['deep nesting', () => withField('x', nested(7_000)), 'invalid'],
  ['no coordinates', () => '{"speed":1}', 'invalid'],
  ['only a latitude', () => '{"lat":10.7}', 'invalid'],
  ['strings', () => text({ lat: '10.7', lng: '106.7' }), 'invalid'],
  ['null', () => text({ lat: null }), 'invalid'],
  ['true', () => text({ lng: true }), 'invalid'],
  ['a list', () => text({ lat: [10.7] }), 'invalid'],
  ['swapped coordinates', () => text({ lat: place.lng, lng: place.lat }), 'invalid'],
  ['a latitude out of range', () => text({ lat: -90.5 }), 'invalid'],
  ['a longitude out of range', () => text({ lng: 180.5 }), 'invalid'],
  ['an infinite number', () => '{"lat":1e999,"lng":106.7}', 'invalid'],
  ['a negative infinite number', () => '{"lat":10.7,"lng":-1e999}', 'invalid'],
  ['a repeated key whose second value is invalid', () => withField('lat', '106.7'), 'invalid'],
  ['another driver’s id', () => text({ driverId: driver.ids() }), 'invalid'],
  ['a trip’s id', () => text({ tripId }), 'invalid'],
  ['a prototype', () => withField('__proto__', '{"lat":10}'), 'invalid'],
  ['a thousand unknown fields', () => text(unknownFields), 'invalid'],
  ['a negative accuracy', () => text({ accuracyMetres: -1 }), 'invalid'],
  ['a heading over 360 degrees', () => text({ headingDegrees: 361 }), 'invalid'],
  ['a negative speed', () => text({ speedMetresPerSecond: -1 }), 'invalid'],
  ['a time that is not a timestamp', () => text({ recordedAt: 'now' }), 'invalid'],
  ['a time in milliseconds', () => text({ recordedAt: driver.clock.nowMs() }), 'invalid'],
  [
    'a timestamp with 5,000 fraction digits',
    () => text({ recordedAt: `2026-11-22T08:00:00.${'0'.repeat(5_000)}Z` }),
    'invalid',
  ],
  ['month 13', () => text({ recordedAt: '2026-13-45T00:00:00Z' }), 'position.time_invalid'],
  ['a time in the future', () => text({ recordedAt: at(60_000) }), 'position.future'],
  ['a time in the far future', () => text({ recordedAt: '9999-12-31T23:59:59Z' }), 'position.future'],
  ['a time too far in the past', () => text({ recordedAt: at(-3_600_000) }), 'position.stale'],
  ['the year 0', () => text({ recordedAt: '0000-01-01T00:00:00Z' }), 'position.time_invalid'],
  ['30 February', () => text({ recordedAt: '2026-02-30T08:00:00.000Z' }), 'position.time_invalid'],
  ['hour 24', () => text({ recordedAt: '2026-11-22T24:00:00.000Z' }), 'position.time_invalid'],
  ['second 61', () => text({ recordedAt: '2026-11-22T08:00:61.000Z' }), 'position.time_invalid'],
  [
    'a time before the stored position',
    () => text({ ...nextPlace, recordedAt: at(-20_000) }),
    'position.outdated',
  ],
  ['a point near the pole', () => text({ lat: 89 }), 'position.out_of_range'],
  ['the coordinates 0,0 of a phone without a fix', () => text({ lat: 0, lng: 0 }), 'position.no_fix'],
  ['negative zero coordinates', () => '{"lat":-0,"lng":-0.0}', 'position.no_fix'],
  ['an accuracy of 90 km', () => text({ accuracyMetres: 90_000 }), 'position.inaccurate'],
  ['a position that no vehicle can have reached', () => text({ lat: 20.7 }), 'position.too_fast'],
];

describe.each(Object.entries(entryPoints))('a position by %s', (_, entryPoint) => {
  test.each(invalidFixes)('with %s is rejected with its code and changes nothing', async (_, fix, code) => {
    const before = await reportPlace();
    const expected = code === 'malformed' || code === 'invalid' ? entryPoint[code] : code;
    for (const driverId of [freeDriverId, onTripDriverId])
      expect(await entryPoint.send(driverId, fix())).toEqual([expected]);
    expect(await readState()).toEqual(before);
  });

  test('that is valid is accepted after all rejections and sent to followers with heading and speed', async () => {
    const before = await reportPlace();
    const motion = { headingDegrees: 359.5, speedMetresPerSecond: 0 };
    for (const driverId of [freeDriverId, onTripDriverId])
      expect(await entryPoint.send(driverId, text({ ...nextPlace, ...motion }))).toEqual([]);
    const after = await readState();
    expect(after.found).toMatchObject([{ driverId: freeDriverId, point: nextPlace }]);
    expect(after.track.points).toBe(before.track.points + 1);
    expect(moves.at(-1)).toMatchObject({ driverId: onTripDriverId, point: nextPlace, ...motion });
  });

  test('of an offline driver is rejected with driver.offline and stored nowhere', async () => {
    const offline = driver.ids<DriverId>();
    const before = await reportPlace();
    expect(await entryPoint.send(offline, text({}))).toEqual(['driver.offline']);
    expect(await readState()).toEqual(before);
  });

  test('with a repeated key uses its last value', async () => {
    await reportPlace();
    expect(
      await entryPoint.send(freeDriverId, `{"lat":106.7,"lat":${nextPlace.lat},"lng":${place.lng}}`),
    ).toEqual([]);
    expect((await readState()).found).toMatchObject([{ point: nextPlace }]);
  });

  test('with a negative zero is stored as zero', async () => {
    const driverId = await driver.createAvailableDriver();
    expect(await entryPoint.send(driverId, '{"lat":-0,"lng":106.5}')).toEqual([]);
    const query = { point: { lat: 0, lng: 106.5 }, limit: 5, radiusMetresMax: 100, excluding: [] };
    const found = (await driver.index.nearest(query)).filter((entry) => entry.driverId === driverId);
    expect(JSON.stringify(found.map(({ point }) => point))).toBe('[{"lat":0,"lng":106.5}]');
  });
});

type InvalidBatch = [name: string, body: () => string, code: keyof ParseErrorCodes];
const point = JSON.stringify(place);
const invalidBatches: InvalidBatch[] = [
  ['an empty batch', () => '"points":[]', 'invalid'],
  ['a body without a batch', () => '"point":1', 'invalid'],
  ['a point instead of a batch', () => `"points":${point}`, 'invalid'],
  ['a batch of null', () => '"points":[null]', 'invalid'],
  ['a batch of batches', () => `"points":[[${point}]]`, 'invalid'],
  [
    'a batch with one schema violation',
    () => `"points":[${point},{"lat":106.7,"lng":10.7},${point}]`,
    'invalid',
  ],
  ['a batch with another driver’s id', () => `"points":[${point}],"driverId":"${freeDriverId}"`, 'invalid'],
  [
    'a batch over the limit',
    () => `"points":[${Array(positionBatchMax + 1).fill('{"lat":1,"lng":1}')}]`,
    'invalid',
  ],
  ['a truncated batch', () => `"points":[${point},`, 'malformed'],
];
const batchEntryPoints: Record<
  string,
  ParseErrorCodes & { send(driverId: DriverId, fields: string): Promise<string[]> }
> = {
  'POST locations': { ...http, send: (driverId, fields) => post(driverId, `{${fields}}`) },
  'a frame locations': {
    ...frames,
    send: (driverId, fields) => sendFrame(inProcessInstance, driverId, inFrame('locations', `${fields}}`)),
  },
};

describe.each(Object.entries(batchEntryPoints))('a position by %s', (_, entryPoint) => {
  test.each(invalidBatches)(
    'in %s is rejected with the whole batch and changes nothing',
    async (_, fields, code) => {
      const before = await reportPlace();
      for (const driverId of [freeDriverId, onTripDriverId])
        expect(await entryPoint.send(driverId, fields())).toEqual([entryPoint[code]]);
      expect(await readState()).toEqual(before);
    },
  );

  test('that is valid is accepted from a batch with invalid points', async () => {
    const before = await reportPlace();
    const points = [
      text({ recordedAt: at(-3_600_000) }),
      text({ ...nextPlace, recordedAt: at(500) }),
      text({ lat: 89 }),
      text({ recordedAt: at(250) }),
    ];
    const codes = await entryPoint.send(onTripDriverId, `"points":[${points}]`);
    expect(codes.toSorted()).toEqual(['position.out_of_range', 'position.stale']);
    expect((await readState()).track.points).toBe(before.track.points + 2);
  });
});

test('a batch that begins with a jump loses only the jump', async () => {
  const before = await reportPlace();
  const points = [text({ lat: 20.7 }), text({ recordedAt: at(200) }), text({ recordedAt: at(400) })];
  expect(await post(onTripDriverId, `{"points":[${points}]}`)).toEqual(['position.too_fast']);
  const { track } = await readState();
  expect(track).toMatchObject({
    points: before.track.points + 2,
    distanceMetres: before.track.distanceMetres,
  });
});

test('a frame with thousands of points closes the connection and stores nothing', async () => {
  const before = await reportPlace();
  const socket = await inProcessInstance.connect(asPersonId(freeDriverId), 'driver');
  socket.send(`{"type":"locations","points":[${Array(5_000).fill(point)}]}`);
  // 1009 (too large), or 1006 when the connection ended before the close frame was read.
  expect([1006, 1009]).toContain((await socket.closed).code);
  expect(await readState()).toEqual(before);
});

test('a binary frame with a position is rejected, and the connection stays open', async () => {
  const before = await reportPlace();
  const bytes = new TextEncoder().encode(inFrame('location', text(nextPlace).slice(1)));
  expect(await sendFrame(inProcessInstance, freeDriverId, bytes)).toEqual(['realtime.frame_malformed']);
  expect(await readState()).toEqual(before);
  expect(
    await sendFrame(inProcessInstance, freeDriverId, inFrame('location', text(nextPlace).slice(1))),
  ).toEqual([]);
});

test('frames over the rate limit are rejected and not stored, and a client that goes on is disconnected', async () => {
  const settings = { SOCKET_FRAMES_PER_SECOND_MAX: '5', SOCKET_ERRORS_PER_MINUTE_MAX: '10' };
  const strict = await startTestInstance({
    positions: createInProcessPositionSink(driver.context.intake),
    settings,
  });
  await reportPlace();
  const [socket, taken] = [await strict.connect(asPersonId(freeDriverId), 'driver'), acceptedCount()];
  for (let n = 0; n < 100; n++) socket.send(inFrame('location', text({}).slice(1)));
  expect((await socket.closed).code).toBe(1008);
  expect(socket.errorCodes()).toEqual(Array(10).fill('realtime.too_many_frames'));
  await until(() => acceptedCount() === taken + 5);
  await strict.stop();
});

test('rejected positions are not counted as abuse, so the connection stays open', async () => {
  const settings = { SOCKET_ERRORS_PER_MINUTE_MAX: '10' };
  const strict = await startTestInstance({
    positions: createInProcessPositionSink(driver.context.intake),
    settings,
  });
  for (let n = 0; n < 20; n++)
    expect(await sendFrame(strict, freeDriverId, inFrame('location', text({ lat: 89 }).slice(1)))).toEqual([
      'position.out_of_range',
    ]);
  await strict.stop();
});
