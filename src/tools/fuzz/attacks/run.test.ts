import { describe, expect, test } from 'bun:test';
import type { BystanderStats } from './bystanders.ts';
import { createAttackKinds } from './kinds.ts';
import { describeHarm, p95BoundMs } from './run.ts';

const observed = (p95Ms: number, errors: string[] = []): BystanderStats => ({
  count: 20,
  p50Ms: p95Ms / 2,
  p95Ms,
  errors,
  errorCount: errors.length,
});
const harm = (quiet: BystanderStats, attacked: BystanderStats) =>
  describeHarm('trip', { quiet, attacked, boundMs: p95BoundMs(quiet) });

describe('an attack', () => {
  test('that slows bystanders down to three times their latency, or to 100 ms, does no harm', () => {
    expect(harm(observed(50), observed(150))).toEqual([]);
    expect(harm(observed(0.5), observed(100))).toEqual([]);
  });

  test('that slows them down further does harm', () => {
    expect(harm(observed(50), observed(151))).toEqual([
      'trip: p95 151 ms, 50 ms without the attack, bound 150 ms',
    ]);
  });

  test('during which one request fails does harm, even if the response has Retry-After', () => {
    expect(harm(observed(5), observed(5, ['Error: GET /v1/trips/1: 503']))).toEqual([
      'trip: 1 of 20 failed: Error: GET /v1/trips/1: 503',
    ]);
  });

  test('that follows failures before it is reported as inconclusive', () => {
    expect(harm(observed(5, ['Error: no']), observed(5))).toHaveLength(1);
  });
});

test('has a unique name and an endless supply of connections, for every kind', () => {
  const kinds = createAttackKinds({ rider: 'r', driver: 'd' }, 10, () => 1_700_000_000_000);
  expect(new Set(kinds.map(({ name }) => name)).size).toBe(kinds.length);
  for (const { connectionAt } of kinds)
    for (let nth = 0; nth < 10; nth++)
      expect(['answer', 'half_close', 'reset', 'hold']).toContain(connectionAt(nth).ending);
});
