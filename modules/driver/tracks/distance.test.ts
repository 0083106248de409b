import { describe, expect, test } from 'bun:test';
import { offsetPoint } from '@contracts/geo.ts';
import { createSeededRandom } from '@platform/random.ts';
import fc from 'fast-check';
import { measureDrivenMetres, type TrackPoint } from './distance.ts';

const start = { lat: 10.7721, lng: 106.6983 };
const track = (...places: [east: number, north: number][]) =>
  places.map(([east, north], at) => ({ point: offsetPoint(start, east, north), recordedAtMs: at * 4_000 }));

test('the driven distance includes the corners of a track, not only the straight line', () => {
  expect(measureDrivenMetres(track([0, 0], [300, 0], [300, 400], [0, 400]))).toBeCloseTo(1_000, 0);
});

test('the driven distance is 0 for a standing car whose position jitters', () => {
  const trembling = Array.from({ length: 100 }, (_, n): [number, number] => [(n % 3) * 4, (n % 2) * 5]);
  expect(measureDrivenMetres(track(...trembling))).toBe(0);
});

test('the driven distance counts slow movement of a few metres per point', () => {
  const crawl = Array.from({ length: 101 }, (_, n): [number, number] => [n * 5, 0]);
  expect(measureDrivenMetres(track(...crawl))).toBeGreaterThan(480);
});

test('the driven distance is 0 for no point and for one point', () => {
  expect(measureDrivenMetres([])).toBe(0);
  expect(measureDrivenMetres(track([5, 5]))).toBe(0);
});

interface Drive {
  /** Corners of the route, in metres east and north. */
  corners: [number, number][];
  metresPerSecond: number;
  everySeconds: number;
  noiseMetres: number;
  accuracyMetres: number | undefined;
  seed: number;
  /** How long the car stands at each stop, and the distance between stops. */
  stopSeconds?: number;
  stopEveryMetres?: number;
}

/** Positions of a drive as a phone reports them: two of three are within the noise, like reported accuracies. */
function drive({ corners, metresPerSecond, everySeconds, noiseMetres, accuracyMetres, ...rest }: Drive): {
  points: TrackPoint[];
  metres: number;
} {
  const random = createSeededRandom(rest.seed);
  const points: TrackPoint[] = [];
  let metres = 0;
  let sinceStop = 0;
  const add = ([east, north]: [number, number]) => {
    const radius = (noiseMetres / 1.515) * Math.sqrt(-2 * Math.log(1 - random.next()));
    const angle = 2 * Math.PI * random.next();
    points.push({
      point: offsetPoint(start, east + radius * Math.cos(angle), north + radius * Math.sin(angle)),
      recordedAtMs: points.length * everySeconds * 1_000,
      accuracyMetres,
    });
  };
  const step = metresPerSecond * everySeconds;
  let ahead = 0;
  for (const [n, to] of corners.entries()) {
    const from = corners[n - 1];
    if (from === undefined) continue;
    const leg = Math.hypot(to[0] - from[0], to[1] - from[1]);
    for (; ahead < leg; ahead += step) {
      const share = ahead / leg;
      const here: [number, number] = [
        from[0] + share * (to[0] - from[0]),
        from[1] + share * (to[1] - from[1]),
      ];
      add(here);
      sinceStop += step;
      if (sinceStop < (rest.stopEveryMetres ?? Number.POSITIVE_INFINITY)) continue;
      sinceStop = 0;
      for (let stood = 0; stood < (rest.stopSeconds ?? 0); stood += everySeconds) add(here);
    }
    ahead -= leg;
    metres += leg;
  }
  return { points, metres: metres + ahead - step };
}

const seeds = fc.integer({ min: 0, max: 1_000_000 });
const everySeconds = fc.constantFrom(1, 4);
const direction = fc.integer({ min: 0, max: 359 }).map((degrees) => (degrees * Math.PI) / 180);
const turned = (corners: [number, number][], angle: number) =>
  corners.map(([east, north]): [number, number] => [
    east * Math.cos(angle) - north * Math.sin(angle),
    east * Math.sin(angle) + north * Math.cos(angle),
  ]);
const within = (share: number, { points, metres }: { points: TrackPoint[]; metres: number }) =>
  expect(Math.abs(measureDrivenMetres(points) / metres - 1)).toBeLessThan(share);

describe('the distance of a noisy track', () => {
  test('is 0 for a minute of standing with noise of 20 m, with and without reported accuracy', () => {
    for (const accuracyMetres of [20, undefined])
      for (const seconds of [1, 4]) {
        const around = Array.from({ length: 60 / seconds }, (_, n): TrackPoint => {
          const angle = n * 2.4;
          return {
            point: offsetPoint(start, 20 * Math.cos(angle), 20 * Math.sin(angle)),
            recordedAtMs: n * seconds * 1_000,
            accuracyMetres,
          };
        });
        expect(measureDrivenMetres(around)).toBe(0);
      }
  });

  test('grows by less than 20 times the noise while standing for hours', () => {
    fc.assert(
      fc.property(
        seeds,
        everySeconds,
        fc.constantFrom(5, 10, 20, 50),
        fc.integer({ min: 2, max: 7_200 }),
        (seed, seconds, noiseMetres, count) => {
          const random = createSeededRandom(seed);
          const points = Array.from({ length: count }, (_, n): TrackPoint => {
            const radius = (noiseMetres / 1.515) * Math.sqrt(-2 * Math.log(1 - random.next()));
            const angle = 2 * Math.PI * random.next();
            return {
              point: offsetPoint(start, radius * Math.cos(angle), radius * Math.sin(angle)),
              recordedAtMs: n * seconds * 1_000,
              accuracyMetres: noiseMetres,
            };
          });
          expect(measureDrivenMetres(points)).toBeLessThan(20 * noiseMetres);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('is within 3% for a straight drive at 30 km/h', () => {
    fc.assert(
      fc.property(
        seeds,
        everySeconds,
        direction,
        fc.constantFrom(5, 10, 20),
        (seed, seconds, angle, noise) => {
          const corners = turned(
            [
              [0, 0],
              [3_000, 0],
            ],
            angle,
          );
          const settings = { metresPerSecond: 8.33, everySeconds: seconds, noiseMetres: noise, seed };
          within(0.03, drive({ ...settings, corners, accuracyMetres: noise }));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('is within 5% in slow traffic with a stop of a minute every 200 m, and within 8% with noise of 20 m', () => {
    fc.assert(
      fc.property(
        seeds,
        everySeconds,
        direction,
        fc.constantFrom(5, 10, 20),
        (seed, seconds, angle, noise) => {
          const corners = turned(
            [
              [0, 0],
              [1_200, 0],
              [1_200, 1_000],
            ],
            angle,
          );
          const settings = { metresPerSecond: 3, everySeconds: seconds, noiseMetres: noise, seed };
          const stops = { stopEveryMetres: 200, stopSeconds: 60 };
          within(noise > 10 ? 0.08 : 0.05, drive({ ...settings, ...stops, corners, accuracyMetres: noise }));
        },
      ),
      { numRuns: 200 },
    );
  });

  test('is within 3% around the corners of a city grid', () => {
    fc.assert(
      fc.property(seeds, everySeconds, direction, fc.constantFrom(0, 3, 5), (seed, seconds, angle, noise) => {
        const corners = Array.from({ length: 21 }, (_, n): [number, number] => [
          Math.ceil(n / 2) * 200,
          Math.floor(n / 2) * 200,
        ]);
        const settings = { metresPerSecond: 8.33, everySeconds: seconds, noiseMetres: noise, seed };
        within(
          0.03,
          drive({ ...settings, corners: turned(corners, angle), accuracyMetres: Math.max(3, noise) }),
        );
      }),
      { numRuns: 200 },
    );
  });
});

test('the driven distance is computed in bounded time for a track that turns at every point', () => {
  const points = Array.from(
    { length: 21_600 },
    (_, n): TrackPoint => ({
      point: offsetPoint(start, (n % 2) * 3_000, n),
      recordedAtMs: n * 3_000,
      accuracyMetres: 1,
    }),
  );
  const began = performance.now();
  expect(measureDrivenMetres(points)).toBeGreaterThan(60_000_000);
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('the driven distance is the same across the date line as elsewhere', () => {
  const west = { lat: -16.8, lng: 179.99 };
  const points = Array.from(
    { length: 100 },
    (_, n): TrackPoint => ({
      point: offsetPoint(west, n * 30, 0),
      recordedAtMs: n * 4_000,
      accuracyMetres: 5,
    }),
  );
  expect(measureDrivenMetres(points)).toBeCloseTo(2_970, -1);
});
