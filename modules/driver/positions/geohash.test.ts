import { afterAll, expect, test } from 'bun:test';
import { distanceMetres } from '@contracts/geo.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, redisReady } from '@platform/redis.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import fc from 'fast-check';
import { cellReachMetres, cellScore, scoreRanges } from './geohash.ts';
import { latitudeMax } from './index.ts';

const { geoUrl, prefix } = testRedisNamespace();
const redis = connectRedis(geoUrl, 'geo', createLog('silent'));
afterAll(() => redis.disconnect());

const point = fc.record({
  lat: fc.double({ min: -latitudeMax, max: latitudeMax, noNaN: true }),
  lng: fc.double({ min: -180, max: 180, noNaN: true }),
});

test('Redis reads a score as a place no farther from the point than a cell reaches', async () => {
  await redisReady(redis, 5_000);
  await fc.assert(
    fc.asyncProperty(point, async (one) => {
      await redis.zadd(`${prefix}cells`, cellScore(one), 'x');
      const [place] = await redis.geopos(`${prefix}cells`, 'x');
      const middle = { lat: Number(place?.[1]), lng: Number(place?.[0]) };
      expect(distanceMetres(one, middle)).toBeLessThanOrEqual(cellReachMetres(one.lat));
    }),
    { numRuns: 500 },
  );
});

test('a cell lies in all ranges around each of its points, and each range in the next', () => {
  fc.assert(
    fc.property(point, (one) => {
      const score = cellScore(one);
      let [innerFrom, innerBelow] = [score, score + 1];
      for (const { from, below } of scoreRanges(one, 16)) {
        expect(from).toBeLessThanOrEqual(innerFrom);
        expect(below).toBeGreaterThanOrEqual(innerBelow);
        [innerFrom, innerBelow] = [from, below];
      }
    }),
  );
});

test('a step of 100 m leaves the cell, one within it does not', () => {
  const here = { lat: 10.7721, lng: 106.6983 };
  expect(cellScore({ ...here, lat: here.lat + 0.0009 })).not.toBe(cellScore(here));
  expect(cellScore({ ...here, lng: here.lng + 0.0009 })).not.toBe(cellScore(here));
  expect(cellScore({ lat: here.lat, lng: here.lng + 1e-7 })).toBe(cellScore(here));
});

test('both names of the date line are one place', () => {
  expect(cellScore({ lat: 10, lng: 180 })).toBe(cellScore({ lat: 10, lng: -180 }));
});
