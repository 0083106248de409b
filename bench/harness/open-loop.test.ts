import { expect, test } from 'bun:test';
import { problem } from '../../src/platform/problems.ts';
import { runOpenLoop } from './open-loop.ts';

test('every call is made at its pace, even while earlier ones have not ended', async () => {
  const dueMs: number[] = [];
  const startedMs = performance.now();
  const last = Promise.withResolvers<void>();
  const result = await runOpenLoop({
    perSecond: 1_000,
    seconds: 0.05,
    async operate(due) {
      dueMs.push(due - startedMs);
      if (dueMs.length === 50) last.resolve();
      await last.promise;
    },
  });
  expect(result).toMatchObject({ due: 50, completed: 50, failed: {} });
  expect(Math.round((dueMs[49] ?? 0) - (dueMs[0] ?? 0))).toBe(49);
});

test('failed calls are counted by their code and end nothing', async () => {
  let calls = 0;
  const failures = [problem('service.unavailable'), Object.assign(new Error('x'), { code: 'ECONNRESET' })];
  const result = await runOpenLoop({
    perSecond: 1_000,
    seconds: 0.03,
    operate: () => {
      const failure = failures[calls++ % 3];
      return failure === undefined ? Promise.resolve() : Promise.reject(failure);
    },
  });
  expect(result.completed).toBe(10);
  expect(result.failed).toEqual({ 'service.unavailable': 10, ECONNRESET: 10 });
});

test('no more calls run at once than allowed, and the wait of a call counts as its latency', async () => {
  let running = 0;
  let most = 0;
  const result = await runOpenLoop({
    perSecond: 2_000,
    seconds: 0.02,
    inFlightMax: 2,
    async operate() {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
    },
  });
  expect(most).toBe(2);
  expect(result.completed).toBe(40);
  // 40 calls, two at a time of 2 ms and more: the last one waits for at least 20 ms beyond its time.
  expect(result.p99Ms).toBeGreaterThan(15);
});
