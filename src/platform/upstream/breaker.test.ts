import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { createManualClock } from '../clock.ts';
import { type Breaker, createBreaker } from './breaker.ts';

function call(breaker: Breaker, outcome: 'answered' | 'failed' | 'unknown'): boolean {
  const permit = breaker.admit();
  if (permit !== undefined) breaker.settle(permit, outcome);
  return permit !== undefined;
}
const times = (count: number, act: () => unknown) => Array.from({ length: count }, act);

test('opens when half of the latest calls fail, and not for a few failures', () => {
  const breaker = createBreaker(createManualClock(0));
  times(19, () => call(breaker, 'failed'));
  expect(breaker.state()).toBe('closed');
  call(breaker, 'failed');
  expect([breaker.state(), call(breaker, 'answered')]).toEqual(['open', false]);
});

test('stays closed while most calls are answered, however many clients disconnect', () => {
  const breaker = createBreaker(createManualClock(0));
  times(200, () => {
    call(breaker, 'answered');
    call(breaker, 'answered');
    call(breaker, 'failed');
    call(breaker, 'unknown');
  });
  expect(breaker.state()).toBe('closed');
});

test('admits a few trial calls after a while, and closes when they are answered', async () => {
  const clock = createManualClock(0);
  const breaker = createBreaker(clock);
  times(20, () => call(breaker, 'failed'));
  await clock.advance(1_000);
  const permits = times(20, () => breaker.admit()).filter((permit) => permit !== undefined);
  expect(permits.length).toBe(5);
  times(3, () => {
    const permit = breaker.admit() ?? permits.pop();
    if (permit) breaker.settle(permit as NonNullable<ReturnType<Breaker['admit']>>, 'answered');
  });
  expect(breaker.state()).toBe('closed');
});

test('opens again when a trial call fails', async () => {
  const clock = createManualClock(0);
  const breaker = createBreaker(clock);
  times(20, () => call(breaker, 'failed'));
  await clock.advance(1_000);
  expect([call(breaker, 'failed'), call(breaker, 'answered')]).toEqual([true, false]);
});

test('admits another trial call when the client of one disconnected', async () => {
  const clock = createManualClock(0);
  const breaker = createBreaker(clock);
  times(20, () => call(breaker, 'failed'));
  await clock.advance(1_000);
  expect(times(50, () => call(breaker, 'unknown')).every((admitted) => admitted === true)).toBe(true);
});

test('forgets an outage that is over, whatever happened during it', async () => {
  const outcomes = fc.array(fc.constantFrom('answered' as const, 'failed' as const, 'unknown' as const));
  await fc.assert(
    fc.asyncProperty(outcomes, fc.array(fc.nat(3_000), { maxLength: 20 }), async (calls, pauses) => {
      const clock = createManualClock(0);
      const breaker = createBreaker(clock);
      const open = new Set<NonNullable<ReturnType<Breaker['admit']>>>();
      for (const [index, outcome] of calls.entries()) {
        await clock.advance(pauses[index % Math.max(1, pauses.length)] ?? 0);
        const permit = breaker.admit();
        if (permit !== undefined) {
          if (index % 3 === 0) open.add(permit);
          else breaker.settle(permit, outcome);
        }
      }
      for (const permit of open) breaker.settle(permit, 'failed');
      // Trial calls that were never settled above are bounded, and are settled now.
      await clock.advance(1_000);
      times(60, () => call(breaker, 'answered'));
      expect(breaker.state()).toBe('closed');
    }),
    { numRuns: 100 },
  );
});
