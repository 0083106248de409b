import { expect, test } from 'bun:test';
import { problem } from '../../src/platform/problems.ts';
import { runOpenLoop } from './open-loop.ts';

test('an open loop starts every call at its pace, even while earlier calls have not ended', async () => {
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

test('an open loop counts failed calls by code and continues', async () => {
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

test('an open loop bounds concurrent calls and includes the wait for a slot in the latency', async () => {
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
  // 40 calls of at least 2 ms, two at a time: the last one starts at least 20 ms after it was due.
  expect(result.p99Ms).toBeGreaterThan(15);
});
