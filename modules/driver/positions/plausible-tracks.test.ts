import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { plausibleTracks, plausibleTracksMax } from './plausible-tracks.ts';

/** A point on a line, at a time: 70 m/s can be driven, and 250 m jumped. */
interface Spot {
  atMs: number;
  metres: number;
}
const reaches = (from: Spot, to: Spot) =>
  Math.abs(to.metres - from.metres) <= 250 + (70 * (to.atMs - from.atMs)) / 1_000;
const everySecond = (...metres: number[]): Spot[] => metres.map((at, n) => ({ atMs: n * 1_000, metres: at }));
const inTime = (spots: readonly Spot[]) => spots.toSorted((a, b) => a.atMs - b.atMs);
const likeliest = (spots: readonly Spot[]) => plausibleTracks(spots, reaches)[0] ?? [];

/** A drive of up to 30 s, with a point at each moment. */
const drive = (pointsMin: number) =>
  fc
    .array(fc.record({ ms: fc.integer({ min: 1, max: 900 }), metres: fc.integer({ min: -60, max: 60 }) }), {
      minLength: pointsMin,
      maxLength: 40,
    })
    .map((steps) => {
      const spots: Spot[] = [];
      let at: Spot = { atMs: 0, metres: 0 };
      for (const { ms, metres } of steps) {
        // Within what can be driven in that time.
        at = { atMs: at.atMs + ms, metres: at.metres + (metres * ms) / 1_000 };
        spots.push(at);
      }
      return spots;
    });
/** Farther than anybody gets from a drive in the time that it takes. */
const elsewhere = fc.integer({ min: 20_000, max: 5_000_000 }).chain((far) => fc.constantFrom(far, -far));

describe('one glitch costs one point', () => {
  test('wherever it is among the points of a drive', () => {
    fc.assert(
      fc.property(drive(2), elsewhere, fc.nat(), (spots, metres, seed) => {
        const place = seed % (spots.length + 1);
        const atMs = ((spots[place - 1]?.atMs ?? -1_000) + (spots[place]?.atMs ?? 40_000)) / 2;
        const glitch = { atMs, metres };
        expect(plausibleTracks(inTime([...spots, glitch]), reaches)).toEqual([spots, [glitch]]);
      }),
    );
  });

  test.each([
    ['first', [90_000, 0, 10, 20], [0, 10, 20]],
    ['last', [0, 10, 20, 90_000], [0, 10, 20]],
    ['in between', [0, 10, 90_000, 20], [0, 10, 20]],
    ['first and last, at two places', [90_000, 0, 10, 20, -90_000], [0, 10, 20]],
    ['before each of the others, at one place', [9e4, 0, 9e4, 10, 9e4, 20, 30], [0, 10, 20, 30]],
    ['everywhere before the drive', [1e5, 2e5, 3e5, 4e5, 5e5, 6e5, 0, 10], [0, 10]],
  ])('%s', (_, metres, kept) => {
    expect(likeliest(everySecond(...metres)).map((spot) => spot.metres)).toEqual(kept);
  });
});

describe('of two clusters far apart', () => {
  test.each([
    ['the larger is believed when it comes first', [0, 1, 2, 90_000, 90_001], [0, 1, 2]],
    ['the larger is believed when it comes last', [90_000, 90_001, 0, 1, 2], [0, 1, 2]],
    ['the later is believed when they are as large', [90_000, 90_001, 0, 1], [0, 1]],
    ['the newer of two points is believed', [90_000, 0], [0]],
  ])('%s', (_, metres, kept) => {
    expect(likeliest(everySecond(...metres)).map((spot) => spot.metres)).toEqual(kept);
  });
});

describe('whatever the points', () => {
  const anywhere = fc
    .array(fc.record({ atMs: fc.nat(35_000), metres: fc.integer({ min: -9_000, max: 9_000 }) }))
    .map(inTime);

  test('a drive that can be is one way, with all its points', () => {
    fc.assert(
      fc.property(drive(1), (spots) => void expect(plausibleTracks(spots, reaches)).toEqual([spots])),
    );
  });

  test('every way can be driven, no point is in two, and none is likelier than the first', () => {
    fc.assert(
      fc.property(anywhere, (spots) => {
        const ways = plausibleTracks(spots, reaches);
        expect(ways.length).toBeLessThanOrEqual(plausibleTracksMax);
        for (const way of ways)
          for (const [n, to] of way.entries()) expect(n === 0 || reaches(way[n - 1] ?? to, to)).toBe(true);
        const all = ways.flat();
        expect(new Set(all).size).toBe(all.length);
        for (const spot of all) expect(spots).toContain(spot);
        expect(Math.max(0, ...ways.map((way) => way.length))).toBe(ways[0]?.length ?? 0);
      }),
    );
  });

  test('each point is measured a few times, however many there are', () => {
    fc.assert(
      fc.property(anywhere, (spots) => {
        let measured = 0;
        const counted = (from: Spot, to: Spot) => {
          measured++;
          return reaches(from, to);
        };
        plausibleTracks(spots, counted);
        expect(measured).toBeLessThanOrEqual(plausibleTracksMax * spots.length);
      }),
    );
  });
});
