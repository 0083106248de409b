import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { TripHistory } from '@contracts/trips.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { until } from '@testing/until.ts';
import { createTestTrip, type TestTrip } from '../testing/harness.ts';

let harness: TestTrip;
beforeAll(async () => {
  harness = await createTestTrip();
});
afterEach(async () => {
  expect(await findTripViolations(harness.sql, { nowMs: harness.clock.nowMs() })).toEqual([]);
});
afterAll(() => harness.close());

describe.each(['events', 'sync'])('a trip in mode %s', (DISPATCH_MODE) => {
  test('goes from the quote to the rating, and each participant sees their view', async () => {
    const instance = harness.createInstance({ DISPATCH_MODE });
    await instance.start();
    const city = harness.createCity();
    const [rider, driver] = [city.addRider(), city.addDriver()];
    const [asRider, asDriver] = [instance.clientFor(rider), instance.clientFor(driver)];

    const created = await asRider.create(rider.addQuote());
    expect(created.status).toBe(201);
    const { id, startCode = '' } = created.trip;
    expect(created.headers.get('location')).toBe(`/v1/trips/${id}`);
    expect(created.trip).toMatchObject({ status: 'requested', version: 1, driver: null, vehicle: null });
    expect(startCode).toMatch(/^\d{4}$/);

    await until(async () => (await asDriver.get(id)).status === 200, { describe: 'the offer' });
    const offered = (await asDriver.get(id)).trip;
    expect(offered).toMatchObject({
      status: 'offered',
      rider: null,
      offer: { expiresAt: expect.any(String) },
    });
    expect(offered).not.toHaveProperty('startCode');
    expect((await asRider.get(id)).trip).toMatchObject({ status: 'offered', driver: null, vehicle: null });

    const accepted = await asDriver.act(id, 'accept');
    expect(accepted.status).toBe(200);
    expect(accepted.trip).toMatchObject({
      status: 'assigned',
      offer: null,
      vehicle: { plate: driver.plate },
    });
    expect((await asRider.get(id)).trip).toMatchObject({ vehicle: { plate: driver.plate }, startCode });

    expect((await asDriver.act(id, 'arrive')).trip.status).toBe('arrived');
    expect((await asDriver.act(id, 'start', { code: startCode })).trip.status).toBe('in_progress');
    expect((await asDriver.act(id, 'complete')).trip).toMatchObject({
      status: 'completed',
      endedBy: 'driver',
    });

    const rated = await asRider.act(id, 'rating', { stars: 5, comment: 'smooth' });
    expect([rated.status, rated.trip.ratings]).toEqual([201, { byRider: 5, byDriver: null }]);
    expect((await asDriver.act(id, 'rating', { stars: 4 })).trip.ratings).toEqual({
      byRider: 5,
      byDriver: 4,
    });

    const { items } = (await asRider.send('GET', `/v1/trips/${id}/history`)).parseAs(TripHistory);
    expect(items.map(({ version, to, actor }) => [version, to, actor])).toEqual([
      [1, 'requested', 'rider'],
      [2, 'offered', 'system'],
      [3, 'assigned', 'driver'],
      [4, 'arrived', 'driver'],
      [5, 'in_progress', 'driver'],
      [6, 'completed', 'driver'],
    ]);
    const events = await until(() => (harness.eventsOf(id).length === 6 ? harness.eventsOf(id) : undefined), {
      describe: 'six events',
    });
    expect(events.map(({ type, data }) => [type, data.version])).toEqual([
      ['trip.requested.v1', 1],
      ['trip.offered.v1', 2],
      ['trip.assigned.v1', 3],
      ['trip.arrived.v1', 4],
      ['trip.started.v1', 5],
      ['trip.completed.v1', 6],
    ]);
    expect(events[1]?.data).toMatchObject({ offeredDriverId: driver.id, driverId: null, vehicle: null });
    expect(events[2]?.data).toMatchObject({ offeredDriverId: null, driverId: driver.id });
    // The consumer that charges the ride need not have handled its start.
    expect(events.map(({ data }) => data.startedAt)).toEqual([
      ...Array(5).fill(undefined),
      events[4]?.data.at,
    ]);
    await instance.stop();
  });
});
