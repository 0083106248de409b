import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Page } from '@contracts/common.ts';
import { Trip, TripHistory } from '@contracts/trips.ts';
import type { TestTripClient } from './testing/client.ts';
import {
  createTestTrip,
  createTripInStatus,
  type TestTrip,
  type TestTripFixture,
  type TestTripInstance,
} from './testing/harness.ts';

let harness: TestTrip;
let instance: TestTripInstance;
beforeAll(async () => {
  harness = await createTestTrip();
  instance = harness.createInstance({ DISPATCH_MODE: 'sync' });
});
afterAll(() => harness.close());

const list = async (client: TestTripClient, query = '') =>
  (await client.send('GET', `/v1/trips${query}`)).parseAs(Page(Trip));

/** Creates trips of one rider with one driver, one after the other: cancelled, cancelled, completed, … */
async function live(count: number): Promise<TestTripFixture> {
  const city = harness.createCity();
  const [rider, driver] = [city.addRider(), city.addDriver()];
  const same = { addRider: () => rider, addDriver: () => driver };
  let last: TestTripFixture | undefined;
  for (let trip = 0; trip < count; trip++) {
    last = await createTripInStatus(trip % 3 === 2 ? 'completed' : 'assigned', instance, same);
    if (trip % 3 !== 2) await last.asRider.act(last.id, 'cancel', { reason: 'later' });
    // Longer than a hold.
    await harness.clock.advance(60_000);
    harness.drivers.holds.clear();
  }
  if (last === undefined) throw new Error('no trip');
  return last;
}

describe('the list of trips', () => {
  test('comes newest first in pages, with each trip once, for rider and driver', async () => {
    const { asRider, asDriver } = await live(7);
    for (const client of [asRider, asDriver]) {
      const seen: string[] = [];
      let cursor: string | null = '';
      while (cursor !== null) {
        const page: { items: Trip[]; nextCursor: string | null } = await list(
          client,
          `?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`,
        );
        expect(page.items.length).toBeLessThanOrEqual(3);
        seen.push(...page.items.map(({ createdAt }) => createdAt));
        cursor = page.nextCursor;
      }
      expect(seen).toHaveLength(7);
      expect(seen).toEqual([...new Set(seen)].sort().reverse());
    }
  });

  test('can be filtered by status', async () => {
    const { asRider } = await live(6);
    expect((await list(asRider, '?status=completed')).items).toHaveLength(2);
    expect((await list(asRider, '?status=cancelled')).items).toHaveLength(4);
    expect((await list(asRider, '?status=offered')).items).toHaveLength(0);
  });

  test('shows the start code to the rider and never to the driver', async () => {
    const { asRider, asDriver } = await live(1);
    expect((await list(asRider)).items.every(({ startCode }) => startCode !== undefined)).toBe(true);
    expect((await list(asDriver)).items.every(({ startCode }) => startCode === undefined)).toBe(true);
  });

  test('is 400 for an invalid limit, cursor or status', async () => {
    const client = instance.clientFor(harness.createCity().addRider());
    for (const query of ['?limit=0', '?limit=101', '?limit=x', '?status=flying']) {
      expect((await client.send('GET', `/v1/trips${query}`)).code).toBe('request.invalid');
    }
    expect((await client.send('GET', '/v1/trips?cursor=abc')).code).toBe('request.cursor_invalid');
  });
});

test('the history shows actor, time and reason of each transition, and no id but the reader’s own', async () => {
  const { id, rider, asRider } = await createTripInStatus('assigned', instance, harness.createCity());
  await asRider.act(id, 'cancel', { reason: 'found a bus' });
  const { items } = (await asRider.send('GET', `/v1/trips/${id}/history`)).parseAs(TripHistory);
  expect(items.map(({ at: _, ...entry }) => entry)).toEqual([
    { version: 1, from: null, to: 'requested', actor: 'rider', actorId: rider.id, reason: null },
    { version: 2, from: 'requested', to: 'offered', actor: 'system', actorId: null, reason: null },
    { version: 3, from: 'offered', to: 'assigned', actor: 'driver', actorId: null, reason: null },
    {
      version: 4,
      from: 'assigned',
      to: 'cancelled',
      actor: 'rider',
      actorId: rider.id,
      reason: 'found a bus',
    },
  ] as unknown as typeof items);
});
