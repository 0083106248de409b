import { describe, expect, test } from 'bun:test';
import type { BystanderStats } from './bystanders.ts';
import { createAttackKinds } from './kinds.ts';
import { describeHarm, p95BoundMs } from './run.ts';

const seen = (p95Ms: number, errors: string[] = []): BystanderStats => ({
  count: 20,
  p50Ms: p95Ms / 2,
  p95Ms,
  errors,
  errorCount: errors.length,
});
const harm = (quiet: BystanderStats, attacked: BystanderStats) =>
  describeHarm('trip', { quiet, attacked, boundMs: p95BoundMs(quiet) });

describe('an attack', () => {
  test('that slows bystanders to three times the quiet, or to 100 ms, does no harm', () => {
    expect(harm(seen(50), seen(150))).toEqual([]);
    expect(harm(seen(0.5), seen(100))).toEqual([]);
  });

  test('that slows them further does', () => {
    expect(harm(seen(50), seen(151))).toEqual(['trip: p95 151 ms, 50 ms in the quiet, at most 150 ms']);
  });

  test('beside which one request fails does, also with a refusal that says when to come back', () => {
    expect(harm(seen(5), seen(5, ['Error: GET /v1/trips/1: 503']))).toEqual([
      'trip: 1 of 20 failed: Error: GET /v1/trips/1: 503',
    ]);
  });

  test('before which something fails already tells nothing', () => {
    expect(harm(seen(5, ['Error: no']), seen(5))).toHaveLength(1);
  });
});

test('every kind has a name of its own, and its strikes can be made over and over', () => {
  const kinds = createAttackKinds({ rider: 'r', driver: 'd' }, 10, () => 1_700_000_000_000);
  expect(new Set(kinds.map(({ name }) => name)).size).toBe(kinds.length);
  for (const { connectionAt } of kinds)
    for (let nth = 0; nth < 10; nth++)
      expect(['answer', 'half_close', 'reset', 'hold']).toContain(connectionAt(nth).ending);
});
