import { describe, expect, test } from 'bun:test';
import { type Priority, priorities } from '@platform/http/edge-policy.ts';
import { createSeededRandom } from '@platform/random.ts';
import fc from 'fast-check';
import { createLimiter, type Limiter } from './limiter.ts';

const bounds = { limitMin: 8, limitMax: 512, slowMs: 150, lagMsMax: 25 };

describe('admission by priority', () => {
  const fill = (limiter: Limiter, priority: Priority) => {
    while (limiter.enter(priority));
    return limiter.inFlight();
  };

  test('gives lower priorities a smaller share of the limit, and lets the highest exceed it', () => {
    const limiter = createLimiter({ ...bounds, limitMax: 100 });
    expect([4, 3, 2, 1].map((priority) => fill(limiter, priority as Priority))).toEqual([40, 70, 100, 800]);
  });

  test('counts requests in flight correctly for any sequence of arrivals and ends', () => {
    const steps = fc.array(fc.oneof(fc.constantFrom(...priorities), fc.constant('leave' as const)));
    fc.assert(
      fc.property(steps, (taken) => {
        const limiter = createLimiter({ ...bounds, limitMax: 10 });
        let inside = 0;
        for (const step of taken) {
          if (step !== 'leave') inside += Number(limiter.enter(step));
          else if (inside > 0) {
            limiter.leave(1);
            inside--;
          }
          expect(limiter.inFlight()).toBe(inside);
          expect(inside).toBeLessThanOrEqual(80);
        }
      }),
    );
  });
});

describe('the limit', () => {
  const answer = (limiter: Limiter, latenciesMs: number[]) => {
    for (const latencyMs of latenciesMs) {
      limiter.enter(1);
      limiter.leave(latencyMs);
    }
  };

  test('stays at its maximum while responses are fast', () => {
    const limiter = createLimiter(bounds);
    answer(limiter, Array(100).fill(20));
    limiter.adjust(5);
    expect(limiter.limit()).toBe(512);
  });

  test('falls below the requests in flight when more than one response in twenty is slow', () => {
    const limiter = createLimiter(bounds);
    for (let n = 0; n < 100; n++) limiter.enter(1);
    for (let n = 0; n < 100; n++) limiter.leave(n < 8 ? 400 : 20);
    limiter.adjust(0);
    expect(limiter.limit()).toBe(80);
  });

  test('does not fall for one slow response among few, nor for unsampled requests', () => {
    const limiter = createLimiter(bounds);
    answer(limiter, [900, 20, 20]);
    for (let n = 0; n < 100; n++) {
      limiter.enter(2);
      limiter.leave(undefined);
    }
    limiter.adjust(0);
    expect(limiter.limit()).toBe(512);
  });

  test('falls when timers of the process are late, even if responses are fast', () => {
    const limiter = createLimiter(bounds);
    for (let n = 0; n < 40; n++) limiter.enter(1);
    limiter.adjust(200);
    expect(limiter.limit()).toBe(20);
  });

  test('never falls below its minimum, and recovers by itself', () => {
    const limiter = createLimiter(bounds);
    for (let n = 0; n < 20; n++) limiter.adjust(1_000);
    expect(limiter.limit()).toBe(8);
    for (let n = 0; n < 50; n++) limiter.adjust(0);
    expect(limiter.limit()).toBeGreaterThan(200);
  });
});

/**
 * Simulates a process with one CPU in steps of a millisecond. Each arrival costs a little time to inspect. An
 * admitted one also costs its work, queued behind whatever waits for the CPU.
 */
function simulate(limiter: Limiter, load: (atMs: number) => number, untilMs: number) {
  const random = createSeededRandom(7);
  const inspectMs = 0.05;
  const workMs = 1;
  const mix: readonly [Priority, number][] = [
    [1, 0.08],
    [2, 0.2],
    [3, 0.7],
    [4, 1],
  ];
  const tasks: { run(startMs: number): void; costMs: number; atMs: number }[] = [];
  const seen = priorities.map(() => ({ came: 0, shed: 0 }));
  const latenciesMs: { atMs: number; latencyMs: number; priority: Priority }[] = [];
  const shedAtMs: number[] = [];
  let cpuFreeMs = 0;
  let lagMs = Number.POSITIVE_INFINITY;
  for (let atMs = 0; atMs < untilMs; atMs++) {
    for (let n = load(atMs) + random.next(); n >= 1; n--) {
      const draw = random.next();
      const priority = mix.find(([, upTo]) => draw <= upTo)?.[0] ?? 4;
      tasks.push({ atMs, costMs: inspectMs, run: (startMs) => arrive(priority, atMs, startMs) });
    }
    // A timer fires after everything that is ready now has run.
    const waitingMs = tasks.reduce((sum, { costMs }) => sum + costMs, 0);
    lagMs = Math.min(lagMs, Math.max(0, cpuFreeMs - atMs) + waitingMs);
    for (; tasks[0] !== undefined && cpuFreeMs < atMs + 1; ) {
      const task = tasks.shift();
      if (task === undefined) break;
      cpuFreeMs = Math.max(cpuFreeMs, task.atMs) + task.costMs;
      task.run(cpuFreeMs);
    }
    if (atMs % 100 === 99) {
      limiter.adjust(lagMs);
      lagMs = Number.POSITIVE_INFINITY;
    }
  }
  return { seen, latenciesMs, shedAtMs };

  function arrive(priority: Priority, atMs: number, startMs: number) {
    const counted = seen[priority - 1];
    if (counted !== undefined) counted.came++;
    if (!limiter.enter(priority)) {
      if (counted !== undefined) counted.shed++;
      shedAtMs.push(startMs);
      return;
    }
    tasks.push({
      atMs: startMs,
      costMs: workMs,
      run(endMs) {
        limiter.leave(endMs - startMs);
        latenciesMs.push({ atMs, latencyMs: endMs - atMs, priority });
      },
    });
  }
}

describe('a process under three times the load that it can serve', () => {
  // One request is 1.05 ms of CPU: 3 a millisecond for ten seconds, then half of what it can do.
  const overloadEndMs = 10_000;
  const { seen, latenciesMs, shedAtMs } = simulate(
    createLimiter(bounds),
    (atMs) => (atMs < overloadEndMs ? 3 : 0.5),
    20_000,
  );

  test('serves what is most important, and sheds from below', () => {
    const shares = seen.map(({ came, shed }) => shed / came);
    expect(shares[0]).toBeLessThan(0.01);
    expect(shares.toSorted((a, b) => a - b)).toEqual(shares);
    expect(shares[3]).toBeGreaterThan(0.5);
  });

  test('answers admitted requests quickly once the limit has adapted', () => {
    const settled = latenciesMs.filter(({ atMs }) => atMs > 1_000).map(({ latencyMs }) => latencyMs);
    settled.sort((a, b) => a - b);
    expect(settled[Math.floor(settled.length * 0.99)]).toBeLessThan(250);
  });

  test('keeps doing useful work', () => {
    const during = latenciesMs.filter(({ atMs }) => atMs < overloadEndMs);
    expect(during.length).toBeGreaterThan(0.75 * overloadEndMs);
  });

  test('stops shedding soon after the load has gone', () => {
    expect(Math.max(...shedAtMs)).toBeLessThan(overloadEndMs + 2_000);
  });
});
