import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { Driver } from '@contracts/drivers.ts';
import { offsetPoint } from '@contracts/geo.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { Value } from '@sinclair/typebox/value';
import { until } from '@testing/until.ts';
import type { DriverTripEvent } from './events.ts';
import { createMemoryPositionIndex } from './positions/memory.ts';
import { createTestDriver, sampleDriverTripEvent, type TestDriver } from './testing/harness.ts';

const place = { lat: 10.7721, lng: 106.6983 };
/** Set to make the next writes of standings to the index fail, as when Redis is away for a moment. */
let indexDeaf: boolean;
let driver: TestDriver;

beforeEach(async () => {
  indexDeaf = false;
  driver = await createTestDriver({
    index(options) {
      const memory = createMemoryPositionIndex(options);
      return {
        ...memory,
        async setAvailabilities(standings) {
          if (indexDeaf) throw new Error('Connection is closed.');
          await memory.setAvailabilities(standings);
        },
      };
    },
  });
  for (const worker of driver.context.workers) await worker.start();
});
afterEach(async () => {
  for (const worker of driver.context.workers.toReversed()) await worker.stop();
  await driver.close();
});

async function me(driverId: DriverId): Promise<Driver> {
  const { json } = await driver.send('GET', '/v1/drivers/me', { as: [driverId, 'driver'] });
  if (!Value.Check(Driver, json)) throw new Error('no driver came back');
  return json;
}
const wish = (driverId: DriverId, status: string) =>
  driver.send('PUT', '/v1/drivers/me/status', { as: [driverId, 'driver'], body: { status } });
const isFound = async (driverId: DriverId) => {
  const query = { point: place, limit: 50, radiusMetresMax: 1_000, excluding: [] };
  return (await driver.index.nearest(query)).some((one) => one.driverId === driverId);
};

/** A driver on the road, and what a trip can say about him. */
async function scene() {
  const driverId = await driver.createAvailableDriver();
  await driver.send('PUT', '/v1/drivers/me/location', { as: [driverId, 'driver'], body: place });
  let tripId = driver.ids<TripId>();
  let version = 1;
  return {
    driverId,
    tripId: () => tripId,
    nextTrip() {
      tripId = driver.ids<TripId>();
      version = 1;
    },
    event(type: DriverTripEvent['type']): DriverTripEvent {
      version++;
      return sampleDriverTripEvent(type, driverId, tripId, { version, atMs: driver.clock.nowMs() });
    },
  };
}

const tell = async (...events: DriverTripEvent[]) => driver.bus.publish(events);
const becomes = (driverId: DriverId, status: string) =>
  until(async () => (await me(driverId)).status === status, { describe: `the driver to be ${status}` });
const inboxRows = async () => (await driver.database.primary`select from inbox`).count;

describe('a driver through a trip', () => {
  test('is held by the offer, on the trip once assigned, available after its end', async () => {
    const { driverId, tripId, event } = await scene();
    await tell(event('trip.offered.v1'));
    await becomes(driverId, 'held');
    expect(await me(driverId)).toMatchObject({ tripId: tripId() });
    await until(async () => !(await isFound(driverId)));

    await tell(event('trip.assigned.v1'));
    await becomes(driverId, 'on_trip');
    expect(await isFound(driverId)).toBe(false);

    await tell(event('trip.completed.v1'));
    await becomes(driverId, 'available');
    expect(await me(driverId)).toMatchObject({ tripId: null });
    await until(() => isFound(driverId));
  });

  test.each(['trip.offer_declined.v1', 'trip.offer_lapsed.v1'] as const)(
    'is free again after %s',
    async (end) => {
      const { driverId, event } = await scene();
      await tell(event('trip.offered.v1'));
      await becomes(driverId, 'held');
      await tell(event(end));
      await becomes(driverId, 'available');
      await until(() => isFound(driverId));
    },
  );

  test('keeps sending positions on the trip, and can neither leave nor change the vehicle', async () => {
    const { driverId, event } = await scene();
    await tell(event('trip.assigned.v1'));
    await becomes(driverId, 'on_trip');
    const as = [driverId, 'driver'] as const;
    expect(await driver.send('PUT', '/v1/drivers/me/location', { as, body: place })).toMatchObject({
      status: 204,
    });
    expect(await wish(driverId, 'offline')).toMatchObject({ status: 409, code: 'driver.busy' });
    const vehicle = { product: 'bike', plate: '59X1-1', model: 'Wave', colour: 'red' };
    expect(await driver.send('PUT', '/v1/drivers/me/vehicle', { as, body: vehicle })).toMatchObject({
      status: 409,
      code: 'driver.busy',
    });
  });

  test('who went offline before the offer reached him stays so when it lapses', async () => {
    const { driverId, event } = await scene();
    await wish(driverId, 'offline');
    await tell(event('trip.offered.v1'));
    await becomes(driverId, 'held');
    await tell(event('trip.offer_lapsed.v1'));
    await becomes(driverId, 'offline');
  });

  test('an event that comes again counts once, and is told to be applied already', async () => {
    const { driverId, event } = await scene();
    const offered = event('trip.offered.v1');
    await tell(offered, offered, offered);
    await becomes(driverId, 'held');
    await until(async () => (await inboxRows()) === 1);
    const history = await driver.database.primary`
      select cause from driver_history where driver_id = ${driverId} and cause = ${offered.type}`;
    expect(history.count).toBe(1);
    await until(() =>
      driver.metrics.text().includes('events_already_applied_total{queue="driver.trips"} 2\n'),
    );
  });

  test('events of several trips, all out of order, leave him where he is', async () => {
    const { driverId, tripId, nextTrip, event } = await scene();
    const story: DriverTripEvent[] = [];
    for (const types of [
      ['trip.offered.v1', 'trip.offer_declined.v1'],
      ['trip.offered.v1', 'trip.assigned.v1', 'trip.completed.v1'],
      ['trip.offered.v1', 'trip.assigned.v1'],
    ] as const) {
      nextTrip();
      for (const type of types) {
        await driver.clock.advance(1_000);
        story.push(event(type));
      }
    }
    await tell(...story.toReversed(), ...story);
    await until(async () => (await inboxRows()) === story.length);
    expect(await me(driverId)).toMatchObject({ status: 'on_trip', tripId: tripId() });
    const rows = await driver.database.primary<{ version: number }[]>`
      select version from driver_history where driver_id = ${driverId} order by version`;
    expect(rows.map(({ version }) => version)).toEqual(rows.map((_, n) => n + 1));
  });

  test('an offer that never ends is ended by the timer', async () => {
    const { driverId, event } = await scene();
    await tell(event('trip.offered.v1'));
    await becomes(driverId, 'held');
    await driver.clock.advance(20_000);
    expect(await me(driverId)).toMatchObject({ status: 'held' });
    await until(async () => {
      await driver.clock.advance(2_000);
      return (await me(driverId)).status === 'available';
    });
  });

  test('an event of a driver who never set anything up is kept in mind', async () => {
    const driverId = driver.ids<DriverId>();
    const tripId = driver.ids<TripId>();
    const fence = { version: 3, atMs: driver.clock.nowMs() };
    await tell(sampleDriverTripEvent('trip.assigned.v1', driverId, tripId, fence));
    await becomes(driverId, 'on_trip');
  });
});

describe('the track of a trip', () => {
  const track = async (tripId: TripId, query = '') =>
    (await driver.send('GET', `/internal/driver/tracks/${tripId}${query}`)).json;
  const send = (driverId: DriverId, fixes: object[]) =>
    driver.send('POST', '/v1/drivers/me/locations', { as: [driverId, 'driver'], body: { points: fixes } });
  const at = (ms: number) => new Date(ms).toISOString();
  /** About 111 m to the north for each step. */
  const step = (n: number, recordedAtMs: number) => ({
    lat: place.lat + n / 1_000,
    lng: place.lng,
    recordedAt: at(recordedAtMs),
  });

  test('holds what was sent from its beginning to its end, each point once, and tells how far it was', async () => {
    const { driverId, tripId, event } = await scene();
    await tell(event('trip.offered.v1'));
    await becomes(driverId, 'held');
    await driver.clock.advance(1_000);
    await send(driverId, [step(0, driver.clock.nowMs())]);
    await driver.clock.advance(1_000);
    await tell(event('trip.assigned.v1'));
    await becomes(driverId, 'on_trip');
    const startMs = driver.clock.nowMs();
    await driver.clock.advance(12_000);
    // The first is from before the trip.
    const ride = [step(0, startMs - 500), ...[0, 1, 2, 3].map((n) => step(n, startMs + n * 4_000))];
    expect(await send(driverId, ride)).toMatchObject({ json: { accepted: 5 } });
    expect(await send(driverId, ride.slice(4))).toMatchObject({ json: { accepted: 1 } });
    await driver.clock.advance(1_000);
    await tell(event('trip.completed.v1'));
    await becomes(driverId, 'available');
    await driver.clock.advance(1_000);
    await send(driverId, [step(3, driver.clock.nowMs())]);
    await until(async () => {
      await driver.clock.advance(1_000);
      return driver.metrics.text().includes('track_points_waiting 0\n');
    });

    expect(await track(tripId())).toEqual({
      points: 4,
      distanceMetres: 334,
      firstAt: at(startMs),
      lastAt: at(startMs + 12_000),
      longestGapSeconds: 4,
    });
    const lastAt = async (id: TripId) =>
      (await driver.send('GET', `/internal/driver/tracks/${id}/last`)).json;
    expect(await lastAt(tripId())).toEqual({ lastAt: at(startMs + 12_000) });
    expect(await lastAt(driver.ids<TripId>())).toEqual({ lastAt: null });
    expect(await track(tripId(), `?from=${at(startMs + 4_000)}&to=${at(startMs + 8_000)}`)).toMatchObject({
      points: 2,
      distanceMetres: 111,
    });
    expect(await track(driver.ids<TripId>())).toEqual({
      points: 0,
      distanceMetres: 0,
      firstAt: null,
      lastAt: null,
      longestGapSeconds: 0,
    });
  });

  test.each([
    ['20 m', 20],
    ['nothing', undefined],
  ])(
    'a car that stands for a minute with noise of 20 m drives nowhere, the phone telling %s of it',
    async (_, accuracyMetres) => {
      const { driverId, tripId, event } = await scene();
      await tell(event('trip.assigned.v1'));
      await becomes(driverId, 'on_trip');
      const startMs = driver.clock.nowMs();
      await driver.clock.advance(20_000);
      const standing = (fromMs: number) =>
        Array.from({ length: 10 }, (_, n) => ({
          ...offsetPoint(place, 20 * Math.cos(n * 2.4), 20 * Math.sin(n * 2.4)),
          recordedAt: at(fromMs + n * 2_000),
          ...(accuracyMetres === undefined ? {} : { accuracyMetres }),
        }));
      for (let part = 0; part < 3; part++) {
        expect(await send(driverId, standing(startMs + part * 20_000))).toMatchObject({
          json: { accepted: 10, refused: [] },
        });
        await driver.clock.advance(20_000);
      }
      await until(async () => {
        await driver.clock.advance(1_000);
        return driver.metrics.text().includes('track_points_waiting 0\n');
      });
      expect(await track(tripId())).toMatchObject({ points: 30, distanceMetres: 0 });
    },
  );

  test('is nobody’s to read from outside', async () => {
    const path = `http://localhost/internal/driver/tracks/${driver.ids<TripId>()}`;
    const answer = await driver.context.internalRoutes.handle(new Request(path));
    expect(answer.ok).toBe(false);
    expect(await answer.text()).toContain('auth.service_forbidden');
  });
});

describe('the index misses a change', () => {
  const candidates = async () => {
    const body = { pickup: place, product: 'car', limit: 5, excluding: [] };
    const { json } = await driver.send('POST', '/internal/driver/candidates', { body });
    return json;
  };

  test('the change stands, and nobody gets a busy driver for a candidate', async () => {
    const { driverId, event } = await scene();
    indexDeaf = true;
    await tell(event('trip.assigned.v1'));
    await becomes(driverId, 'on_trip');
    indexDeaf = false;
    expect(await isFound(driverId)).toBe(true);
    expect(await candidates()).toEqual({ candidates: [] });
    // The search that was told otherwise has mended the index.
    expect(await isFound(driverId)).toBe(false);
  });

  test('the next positions mend it', async () => {
    const { driverId } = await scene();
    const as = [driverId, 'driver'] as const;
    await wish(driverId, 'offline');
    await driver.clock.advance(5_000);
    indexDeaf = true;
    expect(await wish(driverId, 'available')).toMatchObject({ status: 200, json: { status: 'available' } });
    indexDeaf = false;
    const answer = await driver.send('PUT', '/v1/drivers/me/location', { as, body: place });
    expect(answer).toMatchObject({ status: 204 });
    expect(await isFound(driverId)).toBe(true);
  });
});
