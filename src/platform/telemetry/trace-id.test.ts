import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { createManualClock } from '../clock.ts';
import { createIds } from '../ids.ts';
import { createSeededRandom, systemRandom } from '../random.ts';
import { createRequestSampler, traceIdOf } from './trace-id.ts';

const ids = createIds(createManualClock(1_800_000_000_000), systemRandom);
const manyIds = (count: number) => Array.from({ length: count }, () => ids<string>());

describe('the trace id of a request', () => {
  test('is its request id without dashes', () => {
    expect(traceIdOf('019ad3c2-9b1e-7c55-8a30-5d1e2f3a4b5c')).toBe('019ad3c29b1e7c558a305d1e2f3a4b5c');
  });

  test('exists for every id that this system makes', () => {
    const seeded = createIds(createManualClock(1), createSeededRandom(7));
    for (const id of [...manyIds(100), seeded<string>(), seeded<string>()])
      expect(traceIdOf(id)).toMatch(/^[\da-f]{32}$/);
  });

  test('does not exist for any other text', () => {
    const others = [
      '',
      'abcdefgh',
      '019AD3C2-9B1E-7C55-8A30-5D1E2F3A4B5C',
      `${manyIds(1)[0]}0`,
      'x'.repeat(36),
    ];
    for (const other of [...others, '00000000-0000-0000-0000-000000000000'])
      expect(traceIdOf(other)).toBeUndefined();
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        expect(traceIdOf(text)).toBeUndefined();
      }),
    );
  });
});

describe('sampling by the request id', () => {
  test('keeps about the share of the ids that was asked for', () => {
    const sampled = (basisPoints: number) =>
      manyIds(100_000).filter(createRequestSampler(basisPoints)).length;
    expect(sampled(0)).toBe(0);
    expect(sampled(10_000)).toBe(100_000);
    // Six standard deviations around the mean.
    expect(Math.abs(sampled(100) - 1_000)).toBeLessThan(190);
    expect(Math.abs(sampled(10) - 100)).toBeLessThan(60);
    expect(Math.abs(sampled(5_000) - 50_000)).toBeLessThan(950);
  });

  test('keeps at a higher share all that it keeps at a lower one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 10_000 }), (a, b) => {
        const [fewer, more] = [createRequestSampler(Math.min(a, b)), createRequestSampler(Math.max(a, b))];
        for (const id of manyIds(20)) if (fewer(id)) expect(more(id)).toBe(true);
      }),
    );
  });

  test('compares the last 7 bytes as a number', () => {
    const half = createRequestSampler(5_000);
    expect(half('019ad3c2-9b1e-7c55-8a80-000000000000')).toBe(true);
    expect(half('019ad3c2-9b1e-7c55-8a7f-ffffffffffff')).toBe(false);
    expect(createRequestSampler(10_000)('019ad3c2-9b1e-7c55-8a00-000000000000')).toBe(true);
  });

  test('never keeps a text that is no request id', () => {
    const all = createRequestSampler(10_000);
    for (const text of ['', 'zzzz', 'f'.repeat(35), 'f'.repeat(37)]) expect(all(text)).toBe(false);
  });
});
