import { expect, test } from 'bun:test';
import { createManualClock, systemClock } from './clock.ts';
import { createLoop } from './lifecycle.ts';
import { createLog } from './log.ts';

test('a manual clock wakes sleepers in the order of their due times, each at its own time', async () => {
  const clock = createManualClock(1_000);
  const woken: [string, number][] = [];
  const sleeper = async (name: string, ms: number) => {
    await clock.sleep(ms);
    woken.push([name, clock.nowMs()]);
  };
  void sleeper('late', 300);
  void sleeper('early', 100);
  void sleeper('never', 1_000);
  await clock.advance(500);
  expect(woken).toEqual([
    ['early', 1_100],
    ['late', 1_300],
  ]);
  expect(clock.sleepers()).toBe(1);
  expect(clock.nowMs()).toBe(1_500);
});

test('an abort ends a sleep at once, with either clock', async () => {
  for (const clock of [systemClock, createManualClock(0)]) {
    const stop = new AbortController();
    const sleeping = clock.sleep(60_000, stop.signal);
    stop.abort();
    await sleeping;
    await clock.sleep(60_000, stop.signal);
  }
});

test('a loop runs while there is work, waits when there is none, and wake ends the wait', async () => {
  const clock = createManualClock(0);
  let work = 3;
  let steps = 0;
  const loop = createLoop({
    name: 'test',
    clock,
    log: createLog('silent'),
    idleMs: 1_000,
    step: async () => {
      steps++;
      if (steps === 2) throw new Error('one failure');
      return --work > 0;
    },
  });
  await loop.start();
  await clock.advance(0);
  expect(steps).toBe(2);
  await clock.advance(1_000);
  expect(steps).toBe(4);
  loop.wake();
  await clock.advance(0);
  expect(steps).toBe(5);
  await loop.stop();
  await clock.advance(10_000);
  expect(steps).toBe(5);
});
