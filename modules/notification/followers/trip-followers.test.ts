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
const news = (ride: ReturnType<typeof newRide>, version: number, ended = false): FollowerUpdate => ({
  ...ride,
  version,
  atMs: startMs + version,
  riderId: ended ? undefined : ride.riderId,
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
  describe(`rides ${name}`, () => {
    const open = () => create(createManualClock(startMs));

    test('a driver has a follower from the assignment until the end, and none before or after', async () => {
      const rides = open();
      const ride = newRide();
      expect(await rides.find([ride.driverId])).toEqual([]);
      await rides.record(news(ride, 3));
      await rides.record(news(ride, 4));
      expect(await rides.find([ride.driverId])).toEqual([ride]);
      await rides.record(news(ride, 5, true));
      expect(await rides.find([ride.driverId])).toEqual([]);
    });

    test('many drivers are found at once, those without a ride left out', async () => {
      const rides = open();
      const [a, b, c] = [newRide(), newRide(), newRide()];
      await rides.record(news(a, 1));
      await rides.record(news(c, 1));
      expect(await rides.find([a.driverId, b.driverId, c.driverId])).toEqual([a, c]);
    });

    test('the next ride takes over from one whose end was not heard of', async () => {
      const rides = open();
      const first = newRide();
      const second = { ...newRide(), driverId: first.driverId };
      await rides.record(news(first, 1));
      await rides.record({ ...news(second, 1), atMs: startMs + 60_000 });
      await rides.record(news(first, 5, true));
      expect(await rides.find([first.driverId])).toEqual([second]);
    });

    test('whatever the order of events, and however often each comes, nobody follows after the end', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.shuffledSubarray([1, 2, 3, 4], { minLength: 1 }),
          fc.shuffledSubarray([1, 2, 3, 4]),
          async (before, after) => {
            const rides = open();
            const ride = newRide();
            for (const version of before) await rides.record(news(ride, version));
            await rides.record(news(ride, 5, true));
            for (const version of after) await rides.record(news(ride, version));
            expect(await rides.find([ride.driverId])).toEqual([]);
          },
        ),
        { numRuns: 30 },
      );
    });
  });

test('an end is remembered long enough for late events, not for ever', async () => {
  const clock = createManualClock(startMs);
  const rides = createMemoryTripFollowers(clock);
  const ride = newRide();
  await rides.record(news(ride, 5, true));
  await clock.advance(endedTripTtlMs - 1);
  await rides.record(news(ride, 4));
  expect(await rides.find([ride.driverId])).toEqual([]);
});
