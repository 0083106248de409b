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
const fetchDriver = (driverId: DriverId) =>
  driver.send('GET', '/v1/drivers/me', { as: [driverId, 'driver'] });
const sendBatch = (driverId: DriverId, points: unknown) =>
  driver.send('POST', '/v1/drivers/me/locations', { as: [driverId, 'driver'], body: { points } });
const nearby = (query: string, role: 'rider' | 'driver' | 'ops' = 'rider') =>
  driver.send('GET', `/v1/drivers/nearby?${query}`, { as: [driver.ids<RiderId>(), role] });
const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);

/** The position of the driver in the index, if any. */
async function findStoredPoint(driverId: DriverId) {
  const found = await driver.index.nearest({
    point: place,
    limit: 50,
    radiusMetresMax: 50_000,
    excluding: [],
  });
  return found.find((driver) => driver.driverId === driverId)?.point;
}

describe('status and vehicle of a driver', () => {
  test('are offline, without vehicle and trip, for a new driver', async () => {
    const driverId = newDriver();
    const { status, json } = await fetchDriver(driverId);
    expect(status).toBe(200);
    expect(Value.Check(Driver, json)).toBe(true);
    expect(json).toMatchObject({ id: driverId, status: 'offline', vehicle: null, tripId: null });
  });

  test('can change to available with a vehicle, and back to offline', async () => {
    const driverId = newDriver();
    expect(await put('vehicle', driverId, testVehicle)).toMatchObject({
      status: 200,
      json: { status: 'offline', vehicle: testVehicle },
    });
    expect(await put('status', driverId, { status: 'available' })).toMatchObject({
      status: 200,
      json: { status: 'available', vehicle: testVehicle },
    });
    expect((await fetchDriver(driverId)).json).toMatchObject({ status: 'available' });
    expect(await put('status', driverId, { status: 'offline' })).toMatchObject({
      status: 200,
      json: { status: 'offline' },
    });
  });

  test('stay the same when the same status is requested again, with a new time', async () => {
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

  test('can not change to available without a vehicle', async () => {
    const driverId = newDriver();
    const answer = await put('status', driverId, { status: 'available' });
    expect(answer).toMatchObject({ status: 409, code: 'driver.vehicle_required' });
    expect((await fetchDriver(driverId)).json).toMatchObject({ status: 'offline' });
  });

  test('end in one of several concurrently requested statuses, with a history without gaps', async () => {
    const driverId = await driver.createAvailableDriver();
    const statuses = ['offline', 'available', 'offline', 'available', 'offline'];
    const answers = await Promise.all(statuses.map((status) => put('status', driverId, { status })));
    for (const { status } of answers) expect(status).toBe(200);
    const rows = await driver.database.primary<{ version: number; to_status: string }[]>`
      select version, to_status from driver_history where driver_id = ${driverId} order by version`;
    expect(rows.map(({ version }) => version)).toEqual(rows.map((_, n) => n + 1));
    expect((await fetchDriver(driverId)).json).toMatchObject({ status: rows.at(-1)?.to_status });
  });

  test.each([
    ['a status that only trips set', 'status', { status: 'on_trip' }],
    ['no status', 'status', {}],
    ['an unknown field in the status', 'status', { status: 'available', driverId: 'x' }],
    ['an unknown product', 'vehicle', { ...testVehicle, product: 'boat' }],
    ['an empty plate', 'vehicle', { ...testVehicle, plate: '' }],
    ['a plate that is too long', 'vehicle', { ...testVehicle, plate: 'x'.repeat(21) }],
    ['control characters', 'vehicle', { ...testVehicle, model: 'a\u0000b' }],
    ['an invisible plate', 'vehicle', { ...testVehicle, plate: '\u200b\u2060' }],
    ['a plate with a right-to-left override', 'vehicle', { ...testVehicle, plate: '\u202e51F-1' }],
    ['a colour of spaces only', 'vehicle', { ...testVehicle, colour: ' \u00a0 ' }],
    ['an unknown field in the vehicle', 'vehicle', { ...testVehicle, owner: 'me' }],
    ['a list instead of an object', 'vehicle', [testVehicle]],
  ])('are unchanged after %s is rejected', async (_, path, body) => {
    const driverId = await driver.createAvailableDriver();
    expect(await put(path, driverId, body)).toMatchObject({ status: 400, code: 'request.invalid' });
    expect((await fetchDriver(driverId)).json).toMatchObject({ status: 'available', vehicle: testVehicle });
  });

  test('can not be set with malformed JSON', async () => {
    const answer = await put('status', newDriver(), '{"status": "avail');
    expect(answer).toMatchObject({ status: 400, code: 'request.malformed' });
  });

  test.each(['rider', 'ops'] as const)('are not accessible to the role %s', async (role) => {
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

  test('are not accessible without a token', async () => {
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

describe('a single position', () => {
  test('answers 204 without a body once searches find the driver there', async () => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, { ...place, recordedAt: at(-200), headingDegrees: 90 });
    expect(answer).toMatchObject({ status: 204, json: undefined });
    expect(await findStoredPoint(driverId)).toEqual(place);
  });

  test('of an offline driver is rejected and not stored', async () => {
    const driverId = newDriver();
    await put('vehicle', driverId, testVehicle);
    expect(await put('location', driverId, place)).toMatchObject({ status: 409, code: 'driver.offline' });
    await put('status', driverId, { status: 'available' });
    expect(await findStoredPoint(driverId)).toBeUndefined();
    expect(await put('location', driverId, place)).toMatchObject({ status: 204 });
  });

  test('is deleted at once when the driver goes offline', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, place);
    await put('status', driverId, { status: 'offline' });
    expect(await findStoredPoint(driverId)).toBeUndefined();
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
    ['an invalid time', { ...place, recordedAt: 'yesterday' }],
    ['a time with an offset', { ...place, recordedAt: '2026-11-22T08:00:00+07:00' }],
    ['a negative accuracy', { ...place, accuracyMetres: -1 }],
    ['a heading above 360', { ...place, headingDegrees: 361 }],
    ['a speed above the maximum', { ...place, speedMetresPerSecond: 1_001 }],
    ['a list', [place]],
    ['no fields', {}],
  ])('with %s is rejected and not stored', async (_, body) => {
    const driverId = await driver.createAvailableDriver();
    expect(await put('location', driverId, body)).toMatchObject({ status: 400, code: 'request.invalid' });
    expect(await findStoredPoint(driverId)).toBeUndefined();
  });

  test.each(['NaN', 'Infinity', '1e999', '-'])('with %s as a number is rejected', async (number) => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, `{"lat": ${number}, "lng": 106.7}`);
    expect(answer.status).toBe(400);
    expect(await findStoredPoint(driverId)).toBeUndefined();
  });

  test.each([
    ['recorded too far in the future', 5_001, 422, 'position.future'],
    ['older than the freshness window', -30_001, 422, 'position.stale'],
  ])('%s is rejected with its code', async (_, offsetMs, status, code) => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, { ...place, recordedAt: at(offsetMs) });
    expect(answer).toMatchObject({ status, code });
    expect(await findStoredPoint(driverId)).toBeUndefined();
  });

  test('with a date that does not exist is rejected', async () => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, { ...place, recordedAt: '2026-13-45T08:00:00Z' });
    expect(answer).toMatchObject({ status: 400, code: 'position.time_invalid' });
  });

  test('older than the stored one is rejected, and the newer one stays', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-1_000) });
    const late = await put('location', driverId, { ...place, lng: 106.698, recordedAt: at(-1_001) });
    expect(late).toMatchObject({ status: 422, code: 'position.outdated' });
    expect(await findStoredPoint(driverId)).toEqual(place);
  });

  test('can be sent again after a lost response', async () => {
    const driverId = await driver.createAvailableDriver();
    const fix = { ...place, recordedAt: at(0) };
    expect((await put('location', driverId, fix)).status).toBe(204);
    expect((await put('location', driverId, fix)).status).toBe(204);
  });

  test('with a reported accuracy above the limit is rejected', async () => {
    const driverId = await driver.createAvailableDriver();
    const answer = await put('location', driverId, { ...place, accuracyMetres: 201 });
    expect(answer).toMatchObject({ status: 422, code: 'position.inaccurate' });
    expect(await findStoredPoint(driverId)).toBeUndefined();
    expect(await put('location', driverId, { ...place, accuracyMetres: 200 })).toMatchObject({ status: 204 });
  });

  test('too far from the previous one is rejected and counted, and the previous one stays', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-4_000) });
    const jump = await put('location', driverId, { lat: place.lat + 0.01, lng: place.lng });
    expect(jump).toMatchObject({ status: 422, code: 'position.too_fast' });
    expect(await findStoredPoint(driverId)).toEqual(place);
    expect(driver.metrics.text()).toContain('positions_refused_total{code="position.too_fast"} ');
  });

  test('near a pole is rejected with its code', async () => {
    const answer = await put('location', await driver.createAvailableDriver(), { lat: 89.99, lng: 0 });
    expect(answer).toMatchObject({ status: 422, code: 'position.out_of_range' });
  });
});

describe('a batch of positions', () => {
  test('stores the newest one in any order and lists each rejected one with its index and code', async () => {
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
    expect(await findStoredPoint(driverId)).toEqual({ lat: newest.lat, lng: newest.lng });
  });

  test('loses only the one point that jumped there and back', async () => {
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
  ])('loses only the one point that jumped when it comes %s', async (_, index) => {
    const driverId = await driver.createAvailableDriver();
    const points = Array.from({ length: 5 }, (_, n) => ({
      ...(n === index ? elsewhere : place),
      recordedAt: at(n * 1_000 - 5_000),
    }));
    expect((await sendBatch(driverId, points)).json).toEqual({ accepted: 4, refused: tooFast(index) });
    expect(await findStoredPoint(driverId)).toEqual(place);
  });

  test('prefers, of two distant places, the one near the previous position', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-10_000) });
    const answer = await sendBatch(driverId, [
      { ...place, recordedAt: at(-3_000) },
      { ...elsewhere, recordedAt: at(-2_000) },
      { ...elsewhere, recordedAt: at(-1_000) },
    ]);
    expect(answer.json).toEqual({ accepted: 1, refused: tooFast(1, 2) });
    expect(await findStoredPoint(driverId)).toEqual(place);
  });

  test('is rejected with codes when the newest is too far from the stored position', async () => {
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
    expect(await findStoredPoint(driverId)).toEqual(place);
  });

  test.each([['one by one'], ['in one batch'], ['in two batches']])(
    'replaces a wrong stored position by two correct points sent %s',
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
      expect(await findStoredPoint(driverId)).toEqual(place);
    },
  );

  test('with one distant point is rejected, and the next batch that agrees with it is accepted', async () => {
    const driverId = await driver.createAvailableDriver();
    await put('location', driverId, { ...place, recordedAt: at(-10_000) });
    const single = await sendBatch(driverId, [{ ...elsewhere, recordedAt: at(-4_000) }]);
    expect(single.json).toEqual({ accepted: 0, refused: tooFast(0) });
    const next = await sendBatch(driverId, [
      { ...elsewhere, recordedAt: at(-2_000) },
      { ...elsewhere, recordedAt: at(-1_000) },
    ]);
    expect(next.json).toEqual({ accepted: 2, refused: [] });
    expect(await findStoredPoint(driverId)).toEqual(elsewhere);
  });

  test('may have 500 points and not 501', async () => {
    const driverId = await driver.createAvailableDriver();
    const points = Array.from({ length: 501 }, (_, n) => ({ ...place, recordedAt: at(n - 600) }));
    expect(await sendBatch(driverId, points)).toMatchObject({ status: 400, code: 'request.invalid' });
    expect(await findStoredPoint(driverId)).toBeUndefined();
    expect(await sendBatch(driverId, points.slice(1))).toMatchObject({
      status: 200,
      json: { accepted: 500, refused: [] },
    });
  });

  test.each([
    ['no points', []],
    ['an invalid point among valid ones', [place, { lat: 'x', lng: 1 }]],
    ['an object instead of a list', { 0: place }],
  ])('with %s is rejected as a whole', async (_, points) => {
    const driverId = await driver.createAvailableDriver();
    expect(await sendBatch(driverId, points)).toMatchObject({ status: 400, code: 'request.invalid' });
    expect(await findStoredPoint(driverId)).toBeUndefined();
  });

  test('of an offline driver is rejected as a whole', async () => {
    expect(await sendBatch(newDriver(), [place])).toMatchObject({ status: 409, code: 'driver.offline' });
  });
});

describe('the nearby route', () => {
  const harbour = { lat: 20.9531, lng: 107.0712 };

  test('shows drivers to riders and drivers, without ids and exact positions', async () => {
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

  test('returns at most `limit` drivers, ten by default', async () => {
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

  test('is not accessible to operators', async () => {
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
  ])('rejects the query ?%s', async (query) => {
    expect(await nearby(query)).toMatchObject({ status: 400, code: 'request.invalid' });
  });
});
