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
/** When true, updates of availabilities in the index fail, as during a short outage of Redis. */
let indexWritesFail: boolean;
let driver: TestDriver;

beforeEach(async () => {
  indexWritesFail = false;
  driver = await createTestDriver({
    index(options) {
      const memory = createMemoryPositionIndex(options);
      return {
        ...memory,
        async setAvailabilities(availabilities) {
          if (indexWritesFail) throw new Error('Connection is closed.');
          await memory.setAvailabilities(availabilities);
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

async function fetchDriver(driverId: DriverId): Promise<Driver> {
  const { json } = await driver.send('GET', '/v1/drivers/me', { as: [driverId, 'driver'] });
  if (!Value.Check(Driver, json)) throw new Error('the response is not a Driver');
  return json;
}
const requestStatus = (driverId: DriverId, status: string) =>
  driver.send('PUT', '/v1/drivers/me/status', { as: [driverId, 'driver'], body: { status } });
const isFound = async (driverId: DriverId) => {
  const query = { point: place, limit: 50, radiusMetresMax: 1_000, excluding: [] };
  return (await driver.index.nearest(query)).some((found) => found.driverId === driverId);
};

/** An available driver with a position, and the events that a trip can publish about them. */
async function setUpDriver() {
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

const publish = async (...events: DriverTripEvent[]) => driver.bus.publish(events);
const waitForStatus = (driverId: DriverId, status: string) =>
  until(async () => (await fetchDriver(driverId)).status === status, {
    describe: `the driver to be ${status}`,
  });
const inboxRows = async () => (await driver.database.primary`select from inbox`).count;

describe('a driver during a trip', () => {
  test('is held by the offer, on the trip once assigned, and available after its end', async () => {
    const { driverId, tripId, event } = await setUpDriver();
    await publish(event('trip.offered.v1'));
    await waitForStatus(driverId, 'held');
    expect(await fetchDriver(driverId)).toMatchObject({ tripId: tripId() });
    await until(async () => !(await isFound(driverId)));

    await publish(event('trip.assigned.v1'));
    await waitForStatus(driverId, 'on_trip');
    expect(await isFound(driverId)).toBe(false);

    await publish(event('trip.completed.v1'));
    await waitForStatus(driverId, 'available');
    expect(await fetchDriver(driverId)).toMatchObject({ tripId: null });
    await until(() => isFound(driverId));
  });

  test.each(['trip.offer_declined.v1', 'trip.offer_lapsed.v1'] as const)(
    'is available again after %s',
    async (end) => {
      const { driverId, event } = await setUpDriver();
      await publish(event('trip.offered.v1'));
      await waitForStatus(driverId, 'held');
      await publish(event(end));
      await waitForStatus(driverId, 'available');
      await until(() => isFound(driverId));
    },
  );

  test('can send positions on the trip, but can neither go offline nor change the vehicle', async () => {
    const { driverId, event } = await setUpDriver();
    await publish(event('trip.assigned.v1'));
    await waitForStatus(driverId, 'on_trip');
    const as = [driverId, 'driver'] as const;
    expect(await driver.send('PUT', '/v1/drivers/me/location', { as, body: place })).toMatchObject({
      status: 204,
    });
    expect(await requestStatus(driverId, 'offline')).toMatchObject({ status: 409, code: 'driver.busy' });
    const vehicle = { product: 'bike', plate: '59X1-1', model: 'Wave', colour: 'red' };
    expect(await driver.send('PUT', '/v1/drivers/me/vehicle', { as, body: vehicle })).toMatchObject({
      status: 409,
      code: 'driver.busy',
    });
  });

  test('who went offline before the offer arrived stays offline when it lapses', async () => {
    const { driverId, event } = await setUpDriver();
    await requestStatus(driverId, 'offline');
    await publish(event('trip.offered.v1'));
    await waitForStatus(driverId, 'held');
    await publish(event('trip.offer_lapsed.v1'));
    await waitForStatus(driverId, 'offline');
  });

  test('applies a redelivered event once and counts the duplicates', async () => {
    const { driverId, event } = await setUpDriver();
    const offered = event('trip.offered.v1');
    await publish(offered, offered, offered);
    await waitForStatus(driverId, 'held');
    await until(async () => (await inboxRows()) === 1);
    const history = await driver.database.primary`
      select cause from driver_history where driver_id = ${driverId} and cause = ${offered.type}`;
    expect(history.count).toBe(1);
    await until(() =>
      driver.metrics.text().includes('events_already_applied_total{queue="driver.trips"} 2\n'),
    );
  });

  test('ends in the right state when events of several trips arrive out of order', async () => {
    const { driverId, tripId, nextTrip, event } = await setUpDriver();
    const events: DriverTripEvent[] = [];
    for (const types of [
      ['trip.offered.v1', 'trip.offer_declined.v1'],
      ['trip.offered.v1', 'trip.assigned.v1', 'trip.completed.v1'],
      ['trip.offered.v1', 'trip.assigned.v1'],
    ] as const) {
      nextTrip();
      for (const type of types) {
        await driver.clock.advance(1_000);
        events.push(event(type));
      }
    }
    await publish(...events.toReversed(), ...events);
    await until(async () => (await inboxRows()) === events.length);
    expect(await fetchDriver(driverId)).toMatchObject({ status: 'on_trip', tripId: tripId() });
    const rows = await driver.database.primary<{ version: number }[]>`
      select version from driver_history where driver_id = ${driverId} order by version`;
    expect(rows.map(({ version }) => version)).toEqual(rows.map((_, n) => n + 1));
  });

  test('is freed by the timer from an offer that never ends', async () => {
    const { driverId, event } = await setUpDriver();
    await publish(event('trip.offered.v1'));
    await waitForStatus(driverId, 'held');
    await driver.clock.advance(20_000);
    expect(await fetchDriver(driverId)).toMatchObject({ status: 'held' });
    await until(async () => {
      await driver.clock.advance(2_000);
      return (await fetchDriver(driverId)).status === 'available';
    });
  });

  test('is put on the trip by an event even without a row of their own', async () => {
    const driverId = driver.ids<DriverId>();
    const tripId = driver.ids<TripId>();
    const trip = { version: 3, atMs: driver.clock.nowMs() };
    await publish(sampleDriverTripEvent('trip.assigned.v1', driverId, tripId, trip));
    await waitForStatus(driverId, 'on_trip');
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

  test('has each point sent between start and end of the trip once, and its distance', async () => {
    const { driverId, tripId, event } = await setUpDriver();
    await publish(event('trip.offered.v1'));
    await waitForStatus(driverId, 'held');
    await driver.clock.advance(1_000);
    await send(driverId, [step(0, driver.clock.nowMs())]);
    await driver.clock.advance(1_000);
    await publish(event('trip.assigned.v1'));
    await waitForStatus(driverId, 'on_trip');
    const startMs = driver.clock.nowMs();
    await driver.clock.advance(12_000);
    // The first fix was recorded before the trip.
    const ride = [step(0, startMs - 500), ...[0, 1, 2, 3].map((n) => step(n, startMs + n * 4_000))];
    expect(await send(driverId, ride)).toMatchObject({ json: { accepted: 5 } });
    expect(await send(driverId, ride.slice(4))).toMatchObject({ json: { accepted: 1 } });
    await driver.clock.advance(1_000);
    await publish(event('trip.completed.v1'));
    await waitForStatus(driverId, 'available');
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
    ['none', undefined],
  ])(
    'has distance 0 for a car that stands for a minute with noise of 20 m when the phone reports accuracy %s',
    async (_, accuracyMetres) => {
      const { driverId, tripId, event } = await setUpDriver();
      await publish(event('trip.assigned.v1'));
      await waitForStatus(driverId, 'on_trip');
      const startMs = driver.clock.nowMs();
      await driver.clock.advance(20_000);
      const jitteringFixes = (fromMs: number) =>
        Array.from({ length: 10 }, (_, n) => ({
          ...offsetPoint(place, 20 * Math.cos(n * 2.4), 20 * Math.sin(n * 2.4)),
          recordedAt: at(fromMs + n * 2_000),
          ...(accuracyMetres === undefined ? {} : { accuracyMetres }),
        }));
      for (let part = 0; part < 3; part++) {
        expect(await send(driverId, jitteringFixes(startMs + part * 20_000))).toMatchObject({
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

  test('can not be read without a service token', async () => {
    const path = `http://localhost/internal/driver/tracks/${driver.ids<TripId>()}`;
    const answer = await driver.context.internalRoutes.handle(new Request(path));
    expect(answer.ok).toBe(false);
    expect(await answer.text()).toContain('auth.service_forbidden');
  });
});

describe('a change that is lost on the way to the index', () => {
  const candidates = async () => {
    const body = { pickup: place, product: 'car', limit: 5, excluding: [] };
    const { json } = await driver.send('POST', '/internal/driver/candidates', { body });
    return json;
  };

  test('stays committed, and searches do not return the busy driver as a candidate', async () => {
    const { driverId, event } = await setUpDriver();
    indexWritesFail = true;
    await publish(event('trip.assigned.v1'));
    await waitForStatus(driverId, 'on_trip');
    indexWritesFail = false;
    expect(await isFound(driverId)).toBe(true);
    expect(await candidates()).toEqual({ candidates: [] });
    // The search found the difference and corrected the index.
    expect(await isFound(driverId)).toBe(false);
  });

  test('is corrected by the next position', async () => {
    const { driverId } = await setUpDriver();
    const as = [driverId, 'driver'] as const;
    await requestStatus(driverId, 'offline');
    await driver.clock.advance(5_000);
    indexWritesFail = true;
    expect(await requestStatus(driverId, 'available')).toMatchObject({
      status: 200,
      json: { status: 'available' },
    });
    indexWritesFail = false;
    const answer = await driver.send('PUT', '/v1/drivers/me/location', { as, body: place });
    expect(answer).toMatchObject({ status: 204 });
    expect(await isFound(driverId)).toBe(true);
  });
});
