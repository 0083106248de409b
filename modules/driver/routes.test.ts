import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import { Driver, NearbyDrivers } from '@contracts/drivers.ts';
import type { DriverId, RiderId } from '@contracts/ids.ts';
import { Value } from '@sinclair/typebox/value';
import { createTestDriver, type TestDriver, testVehicle } from './testing/harness.ts';

let driver: TestDriver;
beforeAll(async () => {
  driver = await createTestDriver();
});
afterAll(() => driver.close());

const place = { lat: 10.772112, lng: 106.698256 };
const newDriver = () => driver.ids<DriverId>();
const put = (path: string, driverId: DriverId, body?: unknown) =>
  driver.send('PUT', `/v1/drivers/me/${path}`, { as: [driverId, 'driver'], body });
const me = (driverId: DriverId) => driver.send('GET', '/v1/drivers/me', { as: [driverId, 'driver'] });
const sendBatch = (driverId: DriverId, points: unknown) =>
  driver.send('POST', '/v1/drivers/me/locations', { as: [driverId, 'driver'], body: { points } });
const nearby = (query: string, role: 'rider' | 'driver' | 'ops' = 'rider') =>
  driver.send('GET', `/v1/drivers/nearby?${query}`, { as: [driver.ids<RiderId>(), role] });
const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);

/** Where the index has the driver, if it has him. */
async function storedPlace(driverId: DriverId) {
  const found = await driver.index.nearest({
    point: place,
    limit: 50,
    radiusMetresMax: 50_000,
    excluding: [],
  });
  return found.find((one) => one.driverId === driverId)?.point;
}

describe('status and vehicle', () => {
  test('a new driver is offline, without vehicle or trip', async () => {
    const driverId = newDriver();
    const { status, json } = await me(driverId);
    expect(status).toBe(200);
    expect(Value.Check(Driver, json)).toBe(true);
    expect(json).toMatchObject({ id: driverId, status: 'offline', vehicle: null, tripId: null });
  });

  test('with a vehicle he goes available, and offline again', async () => {
    const driverId = newDriver();
    expect(await put('vehicle', driverId, testVehicle)).toMatchObject({
      status: 200,
      json: { status: 'offline', vehicle: testVehicle },
    });
    expect(await put('status', driverId, { status: 'available' })).toMatchObject({
      status: 200,
      json: { status: 'available', vehicle: testVehicle },
    });
    expect((await me(driverId)).json).toMatchObject({ status: 'available' });
    expect(await put('status', driverId, { status: 'offline' })).toMatchObject({
      status: 200,
      json: { status: 'offline' },
    });
  });

  test('asking for the same status again is the same state, and noted', async () => {
    const driverId = await driver.createAvailableDriver();
    await driver.clock.advance(1_000);
    expect((await put('status', driverId, { status: 'available' })).json).toEqual({
      id: driverId,
      status: 'available',
      vehicle: testVehicle,
      tripId: null,
      updatedAt: new Date(driver.clock.nowMs()).toISOString(),
    });
  });

  test('available without a vehicle is refused', async () => {
    const driverId = newDriver();
    const answer = await put('status', driverId, { status: 'available' });
    expect(answer).toMatchObject({ status: 409, code: 'driver.vehicle_required' });
    expect((await me(driverId)).json).toMatchObject({ status: 'offline' });
  });

  test('many wishes at the same time leave one of them, and a history without gaps', async () => {
    const driverId = await driver.createAvailableDriver();
    const wishes = ['offline', 'available', 'offline', 'available', 'offline'];
    const answers = await Promise.all(wishes.map((status) => put('status', driverId, { status })));
    for (const { status } of answers) expect(status).toBe(200);
    const rows = await driver.database.primary<{ version: number; to_status: string }[]>`
      select version, to_status from driver_history where driver_id = ${driverId} order by version`;
    expect(rows.map(({ version }) => version)).toEqual(rows.map((_, n) => n + 1));
    expect((await me(driverId)).json).toMatchObject({ status: rows.at(-1)?.to_status });
  });

  test.each([
    ['a status of the system', 'status', { status: 'on_trip' }],
    ['no status', 'status', {}],
    ['a field nobody asked for', 'status', { status: 'available', driverId: 'x' }],
    ['an unknown product', 'vehicle', { ...testVehicle, product: 'boat' }],
    ['an empty plate', 'vehicle', { ...testVehicle, plate: '' }],
    ['a plate that is too long', 'vehicle', { ...testVehicle, plate: 'x'.repeat(21) }],
    ['control characters', 'vehicle', { ...testVehicle, model: 'a\u0000b' }],
    ['a plate that nobody can see', 'vehicle', { ...testVehicle, plate: '\u200b\u2060' }],
    ['a plate that is read backwards', 'vehicle', { ...testVehicle, plate: '\u202e51F-1' }],
    ['a colour of spaces', 'vehicle', { ...testVehicle, colour: ' \u00a0 ' }],
    ['a field too many', 'vehicle', { ...testVehicle, owner: 'me' }],
    ['a list in the place of an object', 'vehicle', [testVehicle]],
  ])('%s is refused and changes nothing', async (_, path, body) => {
    const driverId = await driver.createAvailableDriver();
    expect(await put(path, driverId, body)).toMatchObject({ status: 400, code: 'request.invalid' });
    expect((await me(driverId)).json).toMatchObject({ status: 'available', vehicle: testVehicle });
  });

  test('malformed JSON is refused', async () => {
    const answer = await put('status', newDriver(), '{"status": "avail');
    expect(answer).toMatchObject({ status: 400, code: 'request.malformed' });
  });

  test.each(['rider', 'ops'] as const)('a %s is no driver', async (role) => {
    const as = [newDriver(), role] as const;
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['PUT', '/status', { status: 'offline' }],
      ['PUT', '/vehicle', testVehicle],
      ['PUT', '/location', place],
      ['POST', '/locations', { points: [place] }],
    ] as const) {
      const answer = await driver.send(method, `/v1/drivers/me${path}`, { as, body });
      expect(answer).toMatchObject({ status: 403, code: 'auth.role_forbidden' });
    }
  });

  test('nobody gets in without a token', async () => {
    for (const [method, path, body] of [
      ['GET', '/v1/drivers/me', undefined],
      ['PUT', '/v1/drivers/me/location', place],
      ['GET', '/v1/drivers/nearby?lat=1&lng=1', undefined],
    ] as const)
      expect(await driver.send(method, path, { body })).toMatchObject({
        status: 401,
        code: 'auth.token_missing',
      });
  });
});

describe('one position', () => {
  test('is answered 204 without a body, once searches find the driver there', async () => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, { ...place, recordedAt: at(-200), headingDegrees: 90 });
    expect(answer).toMatchObject({ status: 204, json: undefined });
    expect(await storedPlace(driverId)).toEqual(place);
  });

  test('of a driver who is offline is refused and not stored', async () => {
    const driverId = newDriver();
    await put('vehicle', driverId, testVehicle);
    expect(await put('location', driverId, place)).toMatchObject({ status: 409, code: 'driver.offline' });
    await put('status', driverId, { status: 'available' });
    expect(await storedPlace(driverId)).toBeUndefined();
    expect(await put('location', driverId, place)).toMatchObject({ status: 204 });
  });

  test('of a driver who goes offline is forgotten at once', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, place);
    await put('status', driverId, { status: 'offline' });
    expect(await storedPlace(driverId)).toBeUndefined();
    expect(await put('location', driverId, place)).toMatchObject({ code: 'driver.offline' });
  });

  test.each([
    ['a latitude that is a string', { lat: '10.77', lng: 106.7 }],
    ['swapped coordinates', { lat: place.lng, lng: place.lat }],
    ['a longitude out of range', { lat: 10, lng: 180.01 }],
    ['no longitude', { lat: 10 }],
    ['null', { lat: null, lng: 106.7 }],
    ['an unknown field', { ...place, altitude: 3 }],
    ['the id of another driver', { ...place, driverId: '019aa000-0000-7000-8000-000000000001' }],
    ['a time that is no time', { ...place, recordedAt: 'yesterday' }],
    ['a time with an offset', { ...place, recordedAt: '2026-11-22T08:00:00+07:00' }],
    ['a negative accuracy', { ...place, accuracyMetres: -1 }],
    ['a heading beyond the circle', { ...place, headingDegrees: 361 }],
    ['a speed beyond reason', { ...place, speedMetresPerSecond: 1_001 }],
    ['a list', [place]],
    ['nothing', {}],
  ])('with %s is refused and not stored', async (_, body) => {
    const driverId = await driver.createAvailableDriver();
    expect(await put('location', driverId, body)).toMatchObject({ status: 400, code: 'request.invalid' });
    expect(await storedPlace(driverId)).toBeUndefined();
  });

  test.each(['NaN', 'Infinity', '1e999', '-'])('with %s as a number is refused', async (number) => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, `{"lat": ${number}, "lng": 106.7}`);
    expect(answer.status).toBe(400);
    expect(await storedPlace(driverId)).toBeUndefined();
  });

  test.each([
    ['recorded too far in the future', 5_001, 422, 'position.future'],
    ['older than the freshness window', -30_001, 422, 'position.stale'],
  ])('%s is refused with its reason', async (_, offsetMs, status, code) => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, { ...place, recordedAt: at(offsetMs) });
    expect(answer).toMatchObject({ status, code });
    expect(await storedPlace(driverId)).toBeUndefined();
  });

  test('on a day that no calendar has is refused', async () => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, { ...place, recordedAt: '2026-13-45T08:00:00Z' });
    expect(answer).toMatchObject({ status: 400, code: 'position.time_invalid' });
  });

  test('older than the one that is known is refused, and the newer one stays', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-1_000) });
    const late = await put('location', driverId, { ...place, lng: 106.698, recordedAt: at(-1_001) });
    expect(late).toMatchObject({ status: 422, code: 'position.outdated' });
    expect(await storedPlace(driverId)).toEqual(place);
  });

  test('sent again after a lost answer is taken again', async () => {
    const driverId = await driver.createAvailableDriver();
    const fix = { ...place, recordedAt: at(0) };
    expect((await put('location', driverId, fix)).status).toBe(204);
    expect((await put('location', driverId, fix)).status).toBe(204);
  });

  test('more inaccurate than the bound by its own account is refused', async () => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, { ...place, accuracyMetres: 201 });
    expect(answer).toMatchObject({ status: 422, code: 'position.inaccurate' });
    expect(await storedPlace(driverId)).toBeUndefined();
    expect(await put('location', driverId, { ...place, accuracyMetres: 200 })).toMatchObject({ status: 204 });
  });

  test('farther than anyone drives since the last one is refused and counted, and the last one stays', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-4_000) });
    const jump = await put('location', driverId, { lat: place.lat + 0.01, lng: place.lng });
    expect(jump).toMatchObject({ status: 422, code: 'position.too_fast' });
    expect(await storedPlace(driverId)).toEqual(place);
    expect(driver.metrics.text()).toContain('positions_refused_total{code="position.too_fast"} ');
  });

  test('near a pole is refused with its reason', async () => {
    const answer = await put('location', await driver.createAvailableDriver(), { lat: 89.99, lng: 0 });
    expect(answer).toMatchObject({ status: 422, code: 'position.out_of_range' });
  });
});

describe('a batch of positions', () => {
  test('the newest counts, in whatever order they come; each refused one has its place and reason', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-10_000) });
    const newest = { lat: 10.773, lng: 106.699, recordedAt: at(-1_000) };
    const answer = await sendBatch(driverId, [
      { ...place, recordedAt: at(-5_000) },
      newest,
      { ...place, recordedAt: at(-3_000) },
      { ...place, recordedAt: at(60_000) },
      { ...place, recordedAt: at(-90_000) },
      { ...place, recordedAt: at(-20_000) },
      { ...place, recordedAt: '2026-02-30T99:00:00Z' },
    ]);
    expect(answer).toMatchObject({
      status: 200,
      json: {
        accepted: 3,
        refused: [
          { index: 3, code: 'position.future' },
          { index: 4, code: 'position.stale' },
          { index: 5, code: 'position.outdated' },
          { index: 6, code: 'position.time_invalid' },
        ],
      },
    });
    expect(await storedPlace(driverId)).toEqual({ lat: newest.lat, lng: newest.lng });
  });

  test('a jump there and back costs the one point that jumped', async () => {
    const driverId = await driver.createAvailableDriver();
    const answer = await sendBatch(driverId, [
      { ...place, recordedAt: at(-3_000) },
      { lat: place.lat, lng: place.lng + 0.1, recordedAt: at(-2_000) },
      { ...place, recordedAt: at(-1_000), accuracyMetres: 5_000 },
      { ...place, recordedAt: at(0) },
    ]);
    expect(answer.json).toEqual({
      accepted: 2,
      refused: [
        { index: 1, code: 'position.too_fast' },
        { index: 2, code: 'position.inaccurate' },
      ],
    });
  });

  const elsewhere = { lat: place.lat + 0.1, lng: place.lng };
  const tooFast = (...indexes: number[]) => indexes.map((index) => ({ index, code: 'position.too_fast' }));

  test.each([
    ['first', 0],
    ['in between', 2],
    ['last', 4],
  ])('a jump that comes %s costs the one point that jumped', async (_, index) => {
    const driverId = await driver.createAvailableDriver();
    const points = Array.from({ length: 5 }, (_, n) => ({
      ...(n === index ? elsewhere : place),
      recordedAt: at(n * 1_000 - 5_000),
    }));
    expect((await sendBatch(driverId, points)).json).toEqual({ accepted: 4, refused: tooFast(index) });
    expect(await storedPlace(driverId)).toEqual(place);
  });

  test('where he was before decides between two places that are far apart', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-10_000) });
    const answer = await sendBatch(driverId, [
      { ...place, recordedAt: at(-3_000) },
      { ...elsewhere, recordedAt: at(-2_000) },
      { ...elsewhere, recordedAt: at(-1_000) },
    ]);
    expect(answer.json).toEqual({ accepted: 1, refused: tooFast(1, 2) });
    expect(await storedPlace(driverId)).toEqual(place);
  });

  test('of which the newest is too far from the last known one is refused with its reason', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-10_000) });
    const far = { lat: place.lat + 0.1, lng: place.lng };
    const answer = await sendBatch(driverId, [
      { ...far, recordedAt: at(-11_000) },
      { ...far, recordedAt: at(0) },
    ]);
    expect(answer.json).toEqual({
      accepted: 0,
      refused: [
        { index: 0, code: 'position.outdated' },
        { index: 1, code: 'position.too_fast' },
      ],
    });
    expect(await storedPlace(driverId)).toEqual(place);
  });

  test.each([['one by one'], ['in one batch'], ['in two batches']])(
    'two true points %s outweigh a first one that was wrong',
    async (how) => {
      const driverId = await driver.createAvailableDriver();
      expect(await put('location', driverId, { lat: 0.2, lng: 0.2, recordedAt: at(-9_000) })).toMatchObject({
        status: 204,
      });
      const points = [
        { ...place, recordedAt: at(-5_000) },
        { ...place, recordedAt: at(-1_000) },
      ];
      if (how === 'one by one') {
        expect(await put('location', driverId, points[0])).toMatchObject({ code: 'position.too_fast' });
        expect(await put('location', driverId, points[1])).toMatchObject({ status: 204 });
      } else if (how === 'in one batch') {
        expect((await sendBatch(driverId, points)).json).toEqual({ accepted: 2, refused: [] });
      } else {
        expect((await sendBatch(driverId, points.slice(0, 1))).json).toEqual({
          accepted: 0,
          refused: tooFast(0),
        });
        expect((await sendBatch(driverId, points.slice(1))).json).toEqual({ accepted: 1, refused: [] });
      }
      expect(await storedPlace(driverId)).toEqual(place);
    },
  );

  test('one point of a batch far from the last known one is not believed, the next batch is', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-10_000) });
    const lone = await sendBatch(driverId, [{ ...elsewhere, recordedAt: at(-4_000) }]);
    expect(lone.json).toEqual({ accepted: 0, refused: tooFast(0) });
    const next = await sendBatch(driverId, [
      { ...elsewhere, recordedAt: at(-2_000) },
      { ...elsewhere, recordedAt: at(-1_000) },
    ]);
    expect(next.json).toEqual({ accepted: 2, refused: [] });
    expect(await storedPlace(driverId)).toEqual(elsewhere);
  });

  test('500 points are taken, 501 refused', async () => {
    const driverId = await driver.createAvailableDriver();
    const points = Array.from({ length: 501 }, (_, n) => ({ ...place, recordedAt: at(n - 600) }));
    expect(await sendBatch(driverId, points)).toMatchObject({ status: 400, code: 'request.invalid' });
    expect(await storedPlace(driverId)).toBeUndefined();
    expect(await sendBatch(driverId, points.slice(1))).toMatchObject({
      status: 200,
      json: { accepted: 500, refused: [] },
    });
  });

  test.each([
    ['no points', []],
    ['one that is no point among good ones', [place, { lat: 'x', lng: 1 }]],
    ['an object in the place of the list', { 0: place }],
  ])('%s: refused whole', async (_, points) => {
    const driverId = await driver.createAvailableDriver();
    expect(await sendBatch(driverId, points)).toMatchObject({ status: 400, code: 'request.invalid' });
    expect(await storedPlace(driverId)).toBeUndefined();
  });

  test('of a driver who is offline is refused whole', async () => {
    expect(await sendBatch(newDriver(), [place])).toMatchObject({ status: 409, code: 'driver.offline' });
  });
});

describe('nearby', () => {
  const harbour = { lat: 20.9531, lng: 107.0712 };

  test('shows drivers to riders and drivers without saying who and exactly where', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { lat: 20.953_149, lng: 107.071_251, recordedAt: at(-4_000) });
    for (const role of ['rider', 'driver'] as const) {
      const { status, json } = await nearby(`lat=${harbour.lat}&lng=${harbour.lng}`, role);
      expect(status).toBe(200);
      expect(Value.Check(NearbyDrivers, json)).toBe(true);
      expect(json).toEqual({
        drivers: [
          { position: { lat: 20.9531, lng: 107.0713 }, distanceMetres: 10, product: 'car', ageSeconds: 4 },
        ],
      });
      expect(JSON.stringify(json)).not.toContain(driverId);
    }
    expect((await nearby(`lat=${harbour.lat}&lng=${harbour.lng}&product=bike`)).json).toEqual({
      drivers: [],
    });
  });

  test('gives no more than asked for, and ten unless asked', async () => {
    const farm = { lat: 11.94, lng: 108.43 };
    for (let n = 0; n < 12; n++) await put('location', await driver.createAvailableDriver(), farm);
    const count = async (query: string) => {
      const { json } = await nearby(`lat=${farm.lat}&lng=${farm.lng}${query}`);
      return Value.Check(NearbyDrivers, json) ? json.drivers.length : undefined;
    };
    expect(await count('')).toBe(10);
    expect(await count('&limit=3')).toBe(3);
    expect(await count('&limit=50')).toBe(12);
  });

  test('not for operators', async () => {
    expect(await nearby('lat=1&lng=1', 'ops')).toMatchObject({ status: 403, code: 'auth.role_forbidden' });
  });

  test.each([
    '',
    'lat=10',
    'lat=abc&lng=106',
    'lat=NaN&lng=106',
    'lat=&lng=106',
    'lat=106&lng=10',
    'lat=10&lng=106&limit=0',
    'lat=10&lng=106&limit=51',
    'lat=10&lng=106&limit=2.5',
    'lat=10&lng=106&product=boat',
  ])('refuses ?%s', async (query) => {
    expect(await nearby(query)).toMatchObject({ status: 400, code: 'request.invalid' });
  });
});
