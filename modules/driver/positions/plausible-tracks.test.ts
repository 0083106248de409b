import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { plausibleTracks, plausibleTracksMax } from './plausible-tracks.ts';

/** A point on a line at a time. A driver can travel at 70 m/s and jump 250 m. */
interface LinePoint {
  atMs: number;
  metres: number;
}
const canReach = (from: LinePoint, to: LinePoint) =>
  Math.abs(to.metres - from.metres) <= 250 + (70 * (to.atMs - from.atMs)) / 1_000;
const everySecond = (...metres: number[]): LinePoint[] =>
  metres.map((at, n) => ({ atMs: n * 1_000, metres: at }));
const inTime = (points: readonly LinePoint[]) => points.toSorted((a, b) => a.atMs - b.atMs);
const likeliest = (points: readonly LinePoint[]) => plausibleTracks(points, canReach)[0] ?? [];

/** A drive of up to 36 s with random steps. */
const drive = (pointsMin: number) =>
  fc
    .array(fc.record({ ms: fc.integer({ min: 1, max: 900 }), metres: fc.integer({ min: -60, max: 60 }) }), {
      minLength: pointsMin,
      maxLength: 40,
    })
    .map((steps) => {
      const points: LinePoint[] = [];
      let at: LinePoint = { atMs: 0, metres: 0 };
      for (const { ms, metres } of steps) {
        // Within the distance that can be driven in that time.
        at = { atMs: at.atMs + ms, metres: at.metres + (metres * ms) / 1_000 };
        points.push(at);
      }
      return points;
    });
/** Farther away than can be driven during a drive. */
const elsewhere = fc.integer({ min: 20_000, max: 5_000_000 }).chain((far) => fc.constantFrom(far, -far));

describe('an outlier costs one point', () => {
  test('at any position among the points of a drive', () => {
    fc.assert(
      fc.property(drive(2), elsewhere, fc.nat(), (points, metres, seed) => {
        const place = seed % (points.length + 1);
        const atMs = ((points[place - 1]?.atMs ?? -1_000) + (points[place]?.atMs ?? 40_000)) / 2;
        const outlier = { atMs, metres };
        expect(plausibleTracks(inTime([...points, outlier]), canReach)).toEqual([points, [outlier]]);
      }),
    );
  });

  test.each([
    ['when it comes first', [90_000, 0, 10, 20], [0, 10, 20]],
    ['when it comes last', [0, 10, 20, 90_000], [0, 10, 20]],
    ['when it comes in between', [0, 10, 90_000, 20], [0, 10, 20]],
    ['when two come first and last at different places', [90_000, 0, 10, 20, -90_000], [0, 10, 20]],
    [
      'when one comes before each valid point at the same place',
      [9e4, 0, 9e4, 10, 9e4, 20, 30],
      [0, 10, 20, 30],
    ],
    ['when many come before the drive at different places', [1e5, 2e5, 3e5, 4e5, 5e5, 6e5, 0, 10], [0, 10]],
  ])('%s', (_, metres, kept) => {
    expect(likeliest(everySecond(...metres)).map((point) => point.metres)).toEqual(kept);
  });
});

describe('of two distant clusters', () => {
  test.each([
    ['the larger one is chosen when it comes first', [0, 1, 2, 90_000, 90_001], [0, 1, 2]],
    ['the larger one is chosen when it comes last', [90_000, 90_001, 0, 1, 2], [0, 1, 2]],
    ['the later one is chosen when both are equally large', [90_000, 90_001, 0, 1], [0, 1]],
    ['the newer of two points is chosen', [90_000, 0], [0]],
  ])('%s', (_, metres, kept) => {
    expect(likeliest(everySecond(...metres)).map((point) => point.metres)).toEqual(kept);
  });
});

describe('for any points', () => {
  const anywhere = fc
    .array(fc.record({ atMs: fc.nat(35_000), metres: fc.integer({ min: -9_000, max: 9_000 }) }))
    .map(inTime);

  test('a possible drive is one track with all its points', () => {
    fc.assert(
      fc.property(drive(1), (points) => void expect(plausibleTracks(points, canReach)).toEqual([points])),
    );
  });

  test('every track can be driven, no point is in two tracks, and the first track is the longest', () => {
    fc.assert(
      fc.property(anywhere, (points) => {
        const tracks = plausibleTracks(points, canReach);
        expect(tracks.length).toBeLessThanOrEqual(plausibleTracksMax);
        for (const track of tracks)
          for (const [n, to] of track.entries())
            expect(n === 0 || canReach(track[n - 1] ?? to, to)).toBe(true);
        const all = tracks.flat();
        expect(new Set(all).size).toBe(all.length);
        for (const point of all) expect(points).toContain(point);
        expect(Math.max(0, ...tracks.map((track) => track.length))).toBe(tracks[0]?.length ?? 0);
      }),
    );
  });

  test('the number of comparisons for each point is bounded', () => {
    fc.assert(
      fc.property(anywhere, (points) => {
        let measured = 0;
        const counted = (from: LinePoint, to: LinePoint) => {
          measured++;
          return canReach(from, to);
        };
        plausibleTracks(points, counted);
        expect(measured).toBeLessThanOrEqual(plausibleTracksMax * points.length);
      }),
    );
  });
});
