import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { DriverId, PersonId, TripId } from '@contracts/ids.ts';
import { createManualClock, type ManualClock, systemClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { systemRandom } from '@platform/random.ts';
import { connectRedis, type Redis, waitForRedis } from '@platform/redis/connection.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import fc from 'fast-check';
import { createNotificationKeys } from '../keys.ts';
import { createMemoryTripFollowers } from './memory.ts';
import { createRedisTripFollowers } from './redis.ts';
import { endedTripTtlMs, type FollowerUpdate, type TripFollowers } from './trip-followers.ts';

const newId = createIds(systemClock, systemRandom);
const startMs = 1_763_800_000_000;
const newRide = () => ({
  driverId: newId<DriverId>(),
  tripId: newId<TripId>(),
  riderId: newId<PersonId>(),
});
const updateOf = (follower: ReturnType<typeof newRide>, version: number, ended = false): FollowerUpdate => ({
  ...follower,
  version,
  atMs: startMs + version,
  riderId: ended ? undefined : follower.riderId,
});

let redis: Redis;
const { geoUrl } = testRedisNamespace();
beforeAll(async () => {
  redis = connectRedis(geoUrl, 'geo', createLog('silent'));
  await waitForRedis(redis, 5_000);
});
afterAll(() => redis.disconnect());

const adapters: [string, (clock: ManualClock) => TripFollowers][] = [
  ['in memory', createMemoryTripFollowers],
  ['in Redis', () => createRedisTripFollowers(redis, createNotificationKeys(testRedisNamespace().prefix))],
];

for (const [name, create] of adapters)
  describe(`trip followers ${name}`, () => {
    const open = () => create(createManualClock(startMs));

    test('a driver has a follower from the assignment until the end of the trip, and none before or after', async () => {
      const tripFollowers = open();
      const follower = newRide();
      expect(await tripFollowers.find([follower.driverId])).toEqual([]);
      await tripFollowers.record(updateOf(follower, 3));
      await tripFollowers.record(updateOf(follower, 4));
      expect(await tripFollowers.find([follower.driverId])).toEqual([follower]);
      await tripFollowers.record(updateOf(follower, 5, true));
      expect(await tripFollowers.find([follower.driverId])).toEqual([]);
    });

    test('many drivers are looked up at once, and those without an active trip are left out', async () => {
      const tripFollowers = open();
      const [a, b, c] = [newRide(), newRide(), newRide()];
      await tripFollowers.record(updateOf(a, 1));
      await tripFollowers.record(updateOf(c, 1));
      expect(await tripFollowers.find([a.driverId, b.driverId, c.driverId])).toEqual([a, c]);
    });

    test('the next trip replaces one whose end event never arrived', async () => {
      const tripFollowers = open();
      const first = newRide();
      const second = { ...newRide(), driverId: first.driverId };
      await tripFollowers.record(updateOf(first, 1));
      await tripFollowers.record({ ...updateOf(second, 1), atMs: startMs + 60_000 });
      await tripFollowers.record(updateOf(first, 5, true));
      expect(await tripFollowers.find([first.driverId])).toEqual([second]);
    });

    test('in any order of events and with any redelivery, nobody follows after the end', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.shuffledSubarray([1, 2, 3, 4], { minLength: 1 }),
          fc.shuffledSubarray([1, 2, 3, 4]),
          async (before, after) => {
            const tripFollowers = open();
            const follower = newRide();
            for (const version of before) await tripFollowers.record(updateOf(follower, version));
            await tripFollowers.record(updateOf(follower, 5, true));
            for (const version of after) await tripFollowers.record(updateOf(follower, version));
            expect(await tripFollowers.find([follower.driverId])).toEqual([]);
          },
        ),
        { numRuns: 30 },
      );
    });
  });

test('an end is remembered long enough for late events, but not forever', async () => {
  const clock = createManualClock(startMs);
  const tripFollowers = createMemoryTripFollowers(clock);
  const follower = newRide();
  await tripFollowers.record(updateOf(follower, 5, true));
  await clock.advance(endedTripTtlMs - 1);
  await tripFollowers.record(updateOf(follower, 4));
  expect(await tripFollowers.find([follower.driverId])).toEqual([]);
});
