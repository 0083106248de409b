import { expect, test } from 'bun:test';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { until } from '@testing/until.ts';
import { createDueLoop } from './due-loop.ts';

/** A loop over items that are due in order. Each item runs until the test settles its promise. */
function createTestLoop(inFlightMax: number) {
  const clock = createManualClock(0);
  const due: string[] = [];
  const running = new Map<string, PromiseWithResolvers<void>>();
  const done: string[] = [];
  const loop = createDueLoop<string>({
    name: 'test',
    clock,
    log: createLog('silent'),
    idleMs: 1_000,
    inFlightMax,
    claimDue: async (limit) => due.splice(0, limit),
    async run(item) {
      const settled = Promise.withResolvers<void>();
      running.set(item, settled);
      await settled.promise;
      done.push(item);
    },
  });
  return { clock, due, running, done, loop };
}

test('an item that waits occupies one place, and the other items run', async () => {
  const { due, running, done, loop } = createTestLoop(2);
  due.push('slow', 'a', 'b', 'c');
  await loop.start();
  for (const item of ['a', 'b', 'c']) {
    await until(() => running.has(item));
    running.get(item)?.resolve();
  }
  await until(() => done.length === 3);
  expect(done).toEqual(['a', 'b', 'c']);
  running.get('slow')?.resolve();
  await loop.stop();
});

test('never more than inFlightMax items run at once', async () => {
  const { due, running, loop } = createTestLoop(2);
  due.push('a', 'b', 'c');
  await loop.start();
  await until(() => running.size === 2);
  loop.wake();
  await Bun.sleep(0);
  expect([...running.keys()]).toEqual(['a', 'b']);
  for (const item of ['a', 'b', 'c']) {
    await until(() => running.has(item));
    running.get(item)?.resolve();
  }
  await loop.stop();
});

test('a due item is found at once after a wake, otherwise when the idle time has passed', async () => {
  const { clock, due, running, loop } = createTestLoop(1);
  await loop.start();
  await until(() => clock.sleepers() === 1);
  due.push('announced');
  loop.wake();
  await until(() => running.has('announced'));
  running.get('announced')?.resolve();
  await until(() => clock.sleepers() === 1);
  due.push('unannounced');
  await clock.advance(1_000);
  await until(() => running.has('unannounced'));
  running.get('unannounced')?.resolve();
  await loop.stop();
});

test('an item that fails stops neither the loop nor the other items', async () => {
  const { due, running, done, loop } = createTestLoop(2);
  due.push('bad', 'good');
  await loop.start();
  await until(() => running.size === 2);
  running.get('bad')?.reject(new Error('broken'));
  running.get('good')?.resolve();
  due.push('next');
  loop.wake();
  await until(() => running.has('next'));
  running.get('next')?.resolve();
  await loop.stop();
  expect(done).toEqual(['good', 'next']);
});

test('stopping waits for the items in flight and starts no new one', async () => {
  const { due, running, done, loop } = createTestLoop(1);
  due.push('last', 'never');
  await loop.start();
  await until(() => running.has('last'));
  const stopped = loop.stop();
  running.get('last')?.resolve();
  await stopped;
  expect([done, due]).toEqual([['last'], ['never']]);
});
