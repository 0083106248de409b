import { expect, test } from 'bun:test';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { until } from '@testing/until.ts';
import { createDueLoop } from './due-loop.ts';

/** Items that are due, taken in order; each runs until its own promise is settled. */
function open(inFlightMax: number) {
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

test('an item that waits holds one place, and the others go on', async () => {
  const { due, running, done, loop } = open(2);
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

test('never more items run than are allowed', async () => {
  const { due, running, loop } = open(2);
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

test('an item is found at once when told of, else when the idle time is over', async () => {
  const { clock, due, running, loop } = open(1);
  await loop.start();
  await until(() => clock.sleepers() === 1);
  due.push('told');
  loop.wake();
  await until(() => running.has('told'));
  running.get('told')?.resolve();
  await until(() => clock.sleepers() === 1);
  due.push('untold');
  await clock.advance(1_000);
  await until(() => running.has('untold'));
  running.get('untold')?.resolve();
  await loop.stop();
});

test('an item that fails ends neither the loop nor the others', async () => {
  const { due, running, done, loop } = open(2);
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

test('stopping waits for what is under way, and begins nothing new', async () => {
  const { due, running, done, loop } = open(1);
  due.push('last', 'never');
  await loop.start();
  await until(() => running.has('last'));
  const stopped = loop.stop();
  running.get('last')?.resolve();
  await stopped;
  expect([done, due]).toEqual([['last'], ['never']]);
});
