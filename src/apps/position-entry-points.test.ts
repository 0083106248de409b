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

// What is wrong with a position is wrong at each door that it can come in by: refused with a code, and
// neither searches, nor the trip's track, nor the rider who follows see anything of it.

const place = { lat: 10.772112, lng: 106.698256 };
const nextPlace = { lat: 10.772512, lng: 106.698256 };

/** What the doors answer to a text that is no JSON, and to JSON of another shape. */
interface Codes {
  malformed: string;
  invalid: string;
}
interface Door extends Codes {
  /** Sends a fix, given as the text of its JSON; resolves to the codes of what was refused. */
  send(driverId: DriverId, fix: string): Promise<string[]>;
}

const http: Codes = { malformed: 'request.malformed', invalid: 'request.invalid' };
const frames: Codes = { malformed: 'realtime.frame_malformed', invalid: 'realtime.frame_invalid' };
const inFrame = (type: string, fields: string) => `{"type":"${type}",${fields}`;

let driver: TestDriver;
let direct: TestInstance;
let overHttp: TestInstance;
const sockets = new Map<string, Promise<TestSocket>>();
let moves: PositionUpdate[] = [];
/** One who searches find, and one who is on a trip. */
let free: DriverId;
let riding: DriverId;
let tripId: TripId;

beforeAll(async () => {
  driver = await createTestDriver({
    followers: { sendPositions: async (positions) => void moves.push(...positions) },
  });
  for (const worker of driver.context.workers) await worker.start();
  const settings = { SOCKET_ERRORS_PER_MINUTE_MAX: '10000' };
  direct = await startTestInstance({
    positions: createInProcessPositionSink(driver.context.intake),
    settings,
  });
  overHttp = await startTestInstance({ positions: gathered(driver), settings });
  free = await driver.createAvailableDriver();
  riding = await driver.createAvailableDriver();
  tripId = driver.ids<TripId>();
  const assigned = { version: 2, atMs: driver.clock.nowMs() };
  await driver.bus.publish([sampleDriverTripEvent('trip.assigned.v1', riding, tripId, assigned)]);
  const me = () => driver.send('GET', '/v1/drivers/me', { as: [riding, 'driver'] });
  await until(async () => JSON.stringify((await me()).json).includes('on_trip'));
});
afterAll(async () => {
  await direct.stop();
  await overHttp.stop();
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

const doors: Record<string, Door> = {
  'PUT location': { ...http, send: put },
  'POST locations': { ...http, send: (driverId, fix) => post(driverId, `{"points":[${fix}]}`) },
  'a frame location': {
    ...frames,
    send: (driverId, fix) => sendFrame(direct, driverId, inFrame('location', fix.replace(/^\{/, ''))),
  },
  'a frame locations': {
    ...frames,
    send: (driverId, fix) => sendFrame(direct, driverId, inFrame('locations', `"points":[${fix}]}`)),
  },
  'a frame locations, over HTTP': {
    ...frames,
    send: (driverId, fix) => sendFrame(overHttp, driverId, inFrame('locations', `"points":[${fix}]}`)),
  },
};

async function put(driverId: DriverId, body: string): Promise<string[]> {
  const { code } = await driver.send('PUT', '/v1/drivers/me/location', { as: [driverId, 'driver'], body });
  return code === undefined ? [] : [code];
}

async function post(driverId: DriverId, body: string): Promise<string[]> {
  const as = [driverId, 'driver'] as const;
  const { code, json } = await driver.send('POST', '/v1/drivers/me/locations', { as, body });
  return code === undefined ? (json as PositionBatchResult).refused.map((one) => one.code) : [code];
}

/** Resolves once the frame was refused or its points were counted as taken. */
async function sendFrame(
  instance: TestInstance,
  driverId: DriverId,
  frame: string | Uint8Array,
): Promise<string[]> {
  const socket = await socketOf(instance, driverId);
  const [before, taken] = [socket.errorCodes().length, accepted()];
  socket.send(frame);
  await until(() => socket.errorCodes().length > before || accepted() > taken);
  return socket.errorCodes().slice(before);
}

const accepted = () => Number(/^positions_accepted_total (\d+)$/m.exec(driver.metrics.text())?.[1] ?? 0);

function socketOf(instance: TestInstance, driverId: DriverId): Promise<TestSocket> {
  const key = `${instance.url} ${driverId}`;
  const socket = sockets.get(key) ?? instance.connect(asPersonId(driverId), 'driver');
  sockets.set(key, socket);
  return socket;
}

/** What is known of the two drivers: the index, the track of the trip, and what the rider was told. */
async function known() {
  // Followers are told from time to time; when the recorder of tracks stops, all that waited is saved.
  await driver.clock.advance(1_000);
  await driver.context.workers.find(({ name }) => name === 'driver.tracks')?.stop();
  const query = { point: place, limit: 50, radiusMetresMax: 50_000, excluding: [] };
  const { json } = await driver.send('GET', `/internal/driver/tracks/${tripId}`);
  return { found: await driver.index.nearest(query), track: json as TrackSummary, moves: moves.length };
}

/** Both stand at the place, as of now. */
async function standStill() {
  moves = [];
  for (const driverId of [free, riding]) expect(await put(driverId, JSON.stringify(place))).toEqual([]);
  const before = await known();
  expect(before.found.map((one) => one.driverId)).toEqual([free]);
  expect(before.track.points).toBeGreaterThan(0);
  return before;
}

const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);
const text = (fields: object) => JSON.stringify({ ...place, ...fields });
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const withField = (name: string, value: string) => `{"lat":10.772112,"lng":106.698256,"${name}":${value}}`;
const unknownFields = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`f${n}`, 0]));

type Wrong = [name: string, fix: () => string, code: keyof Codes | `position.${string}`];
const wrong: Wrong[] = [
  ['NaN', () => '{"lat":NaN,"lng":106.7}', 'malformed'],
  ['Infinity', () => '{"lat":Infinity,"lng":106.7}', 'malformed'],
  ['half of it', () => '{"lat":10.7,', 'malformed'],
  ['a form', () => '{lat=10.7&lng=106.7', 'malformed'],
  ['a comma too many', () => '{"lat":10.7,"lng":106.7,}', 'malformed'],
  ['a NUL', () => '{"lat":10.7,"lng":106.7\u0000}', 'malformed'],
  ['nesting without end', () => withField('x', '['.repeat(10_000)), 'malformed'],
  ['deep nesting', () => withField('x', nested(7_000)), 'invalid'],
  ['nothing of a position', () => '{"speed":1}', 'invalid'],
  ['half of a point', () => '{"lat":10.7}', 'invalid'],
  ['strings', () => text({ lat: '10.7', lng: '106.7' }), 'invalid'],
  ['null', () => text({ lat: null }), 'invalid'],
  ['true', () => text({ lng: true }), 'invalid'],
  ['a list', () => text({ lat: [10.7] }), 'invalid'],
  ['swapped coordinates', () => text({ lat: place.lng, lng: place.lat }), 'invalid'],
  ['a latitude out of range', () => text({ lat: -90.5 }), 'invalid'],
  ['a longitude out of range', () => text({ lng: 180.5 }), 'invalid'],
  ['a number too large to be one', () => '{"lat":1e999,"lng":106.7}', 'invalid'],
  ['the same below zero', () => '{"lat":10.7,"lng":-1e999}', 'invalid'],
  ['a key twice, wrong the second time', () => withField('lat', '106.7'), 'invalid'],
  ['another driver’s id', () => text({ driverId: driver.ids() }), 'invalid'],
  ['a trip’s id', () => text({ tripId }), 'invalid'],
  ['a prototype', () => withField('__proto__', '{"lat":10}'), 'invalid'],
  ['a thousand unknown fields', () => text(unknownFields), 'invalid'],
  ['an accuracy below zero', () => text({ accuracyMetres: -1 }), 'invalid'],
  ['a heading that is none', () => text({ headingDegrees: 361 }), 'invalid'],
  ['a speed below zero', () => text({ speedMetresPerSecond: -1 }), 'invalid'],
  ['no time in the time', () => text({ recordedAt: 'now' }), 'invalid'],
  ['a time in ms', () => text({ recordedAt: driver.clock.nowMs() }), 'invalid'],
  ['a very long time', () => text({ recordedAt: `2026-11-22T08:00:00.${'0'.repeat(5_000)}Z` }), 'invalid'],
  ['a month that is none', () => text({ recordedAt: '2026-13-45T00:00:00Z' }), 'position.time_invalid'],
  ['a point of the future', () => text({ recordedAt: at(60_000) }), 'position.future'],
  ['a point of the far future', () => text({ recordedAt: '9999-12-31T23:59:59Z' }), 'position.future'],
  ['a point of the past', () => text({ recordedAt: at(-3_600_000) }), 'position.stale'],
  ['the year 0', () => text({ recordedAt: '0000-01-01T00:00:00Z' }), 'position.time_invalid'],
  ['30 February', () => text({ recordedAt: '2026-02-30T08:00:00.000Z' }), 'position.time_invalid'],
  ['hour 24', () => text({ recordedAt: '2026-11-22T24:00:00.000Z' }), 'position.time_invalid'],
  ['second 61', () => text({ recordedAt: '2026-11-22T08:00:61.000Z' }), 'position.time_invalid'],
  [
    'a point older than the one known',
    () => text({ ...nextPlace, recordedAt: at(-20_000) }),
    'position.outdated',
  ],
  ['a point near the pole', () => text({ lat: 89 }), 'position.out_of_range'],
  ['what a phone sends without a fix', () => text({ lat: 0, lng: 0 }), 'position.no_fix'],
  ['the same below zero', () => '{"lat":-0,"lng":-0.0}', 'position.no_fix'],
  ['a point that may be anywhere', () => text({ accuracyMetres: 90_000 }), 'position.inaccurate'],
  ['a point that nobody can have got to', () => text({ lat: 20.7 }), 'position.too_fast'],
];

describe.each(Object.entries(doors))('by %s', (_, door) => {
  test.each(wrong)('%s is refused with its code and changes nothing', async (_, fix, code) => {
    const before = await standStill();
    const expected = code === 'malformed' || code === 'invalid' ? door[code] : code;
    for (const driverId of [free, riding]) expect(await door.send(driverId, fix())).toEqual([expected]);
    expect(await known()).toEqual(before);
  });

  test('a good one after all that is taken, and told to who follows, with how the vehicle moves', async () => {
    const before = await standStill();
    const motion = { headingDegrees: 359.5, speedMetresPerSecond: 0 };
    for (const driverId of [free, riding])
      expect(await door.send(driverId, text({ ...nextPlace, ...motion }))).toEqual([]);
    const after = await known();
    expect(after.found).toMatchObject([{ driverId: free, point: nextPlace }]);
    expect(after.track.points).toBe(before.track.points + 1);
    expect(moves.at(-1)).toMatchObject({ driverId: riding, point: nextPlace, ...motion });
  });

  test('a driver who is offline is told so, and nothing is kept of him', async () => {
    const offline = driver.ids<DriverId>();
    const before = await standStill();
    expect(await door.send(offline, text({}))).toEqual(['driver.offline']);
    expect(await known()).toEqual(before);
  });

  test('of a key twice the last counts', async () => {
    await standStill();
    expect(await door.send(free, `{"lat":106.7,"lat":${nextPlace.lat},"lng":${place.lng}}`)).toEqual([]);
    expect((await known()).found).toMatchObject([{ point: nextPlace }]);
  });

  test('a zero below zero is zero', async () => {
    const driverId = await driver.createAvailableDriver();
    expect(await door.send(driverId, '{"lat":-0,"lng":106.5}')).toEqual([]);
    const query = { point: { lat: 0, lng: 106.5 }, limit: 5, radiusMetresMax: 100, excluding: [] };
    const found = (await driver.index.nearest(query)).filter((one) => one.driverId === driverId);
    expect(JSON.stringify(found.map(({ point }) => point))).toBe('[{"lat":0,"lng":106.5}]');
  });
});

type WrongBatch = [name: string, body: () => string, code: keyof Codes];
const point = JSON.stringify(place);
const wrongBatches: WrongBatch[] = [
  ['an empty batch', () => '"points":[]', 'invalid'],
  ['no batch', () => '"point":1', 'invalid'],
  ['a point in the place of a batch', () => `"points":${point}`, 'invalid'],
  ['a batch of nothing', () => '"points":[null]', 'invalid'],
  ['a batch of batches', () => `"points":[[${point}]]`, 'invalid'],
  ['one wrong among good ones', () => `"points":[${point},{"lat":106.7,"lng":10.7},${point}]`, 'invalid'],
  ['another driver’s id beside them', () => `"points":[${point}],"driverId":"${free}"`, 'invalid'],
  [
    'more points than a batch may have',
    () => `"points":[${Array(positionBatchMax + 1).fill('{"lat":1,"lng":1}')}]`,
    'invalid',
  ],
  ['half of a batch', () => `"points":[${point},`, 'malformed'],
];
const batchDoors: Record<string, Codes & { send(driverId: DriverId, fields: string): Promise<string[]> }> = {
  'POST locations': { ...http, send: (driverId, fields) => post(driverId, `{${fields}}`) },
  'a frame locations': {
    ...frames,
    send: (driverId, fields) => sendFrame(direct, driverId, inFrame('locations', `${fields}}`)),
  },
};

describe.each(Object.entries(batchDoors))('by %s', (_, door) => {
  test.each(wrongBatches)('%s is refused as a whole and changes nothing', async (_, fields, code) => {
    const before = await standStill();
    for (const driverId of [free, riding]) expect(await door.send(driverId, fields())).toEqual([door[code]]);
    expect(await known()).toEqual(before);
  });

  test('of a batch with points that cannot be the others are taken', async () => {
    const before = await standStill();
    const points = [
      text({ recordedAt: at(-3_600_000) }),
      text({ ...nextPlace, recordedAt: at(500) }),
      text({ lat: 89 }),
      text({ recordedAt: at(250) }),
    ];
    const codes = await door.send(riding, `"points":[${points}]`);
    expect(codes.toSorted()).toEqual(['position.out_of_range', 'position.stale']);
    expect((await known()).track.points).toBe(before.track.points + 2);
  });
});

test('of a batch that begins with a jump only the jump is kept out of the track', async () => {
  const before = await standStill();
  const points = [text({ lat: 20.7 }), text({ recordedAt: at(200) }), text({ recordedAt: at(400) })];
  expect(await post(riding, `{"points":[${points}]}`)).toEqual(['position.too_fast']);
  const { track } = await known();
  expect(track).toMatchObject({
    points: before.track.points + 2,
    distanceMetres: before.track.distanceMetres,
  });
});

test('a frame of thousands of points ends the connection, and nothing of it is stored', async () => {
  const before = await standStill();
  const socket = await direct.connect(asPersonId(free), 'driver');
  socket.send(`{"type":"locations","points":[${Array(5_000).fill(point)}]}`);
  // 1009 (too large), or a bare end where the server has hung up before the close was read.
  expect([1006, 1009]).toContain((await socket.closed).code);
  expect(await known()).toEqual(before);
});

test('a binary frame with a position is refused, and the connection stays', async () => {
  const before = await standStill();
  const bytes = new TextEncoder().encode(inFrame('location', text(nextPlace).slice(1)));
  expect(await sendFrame(direct, free, bytes)).toEqual(['realtime.frame_malformed']);
  expect(await known()).toEqual(before);
  expect(await sendFrame(direct, free, inFrame('location', text(nextPlace).slice(1)))).toEqual([]);
});

test('frames beyond so many a second are refused, and who goes on is cut off: nothing of it is stored', async () => {
  const settings = { SOCKET_FRAMES_PER_SECOND_MAX: '5', SOCKET_ERRORS_PER_MINUTE_MAX: '10' };
  const strict = await startTestInstance({
    positions: createInProcessPositionSink(driver.context.intake),
    settings,
  });
  await standStill();
  const [socket, taken] = [await strict.connect(asPersonId(free), 'driver'), accepted()];
  for (let n = 0; n < 100; n++) socket.send(inFrame('location', text({}).slice(1)));
  expect((await socket.closed).code).toBe(1008);
  expect(socket.errorCodes()).toEqual(Array(10).fill('realtime.too_many_frames'));
  await until(() => accepted() === taken + 5);
  await strict.stop();
});

test('positions that are refused are no abuse: the connection stays', async () => {
  const settings = { SOCKET_ERRORS_PER_MINUTE_MAX: '10' };
  const strict = await startTestInstance({
    positions: createInProcessPositionSink(driver.context.intake),
    settings,
  });
  for (let n = 0; n < 20; n++)
    expect(await sendFrame(strict, free, inFrame('location', text({ lat: 89 }).slice(1)))).toEqual([
      'position.out_of_range',
    ]);
  await strict.stop();
});
