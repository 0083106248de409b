import { describe, expect, test } from 'bun:test';
import { createManualClock } from '@platform/clock.ts';
import fc from 'fast-check';
import { createCoalescer } from './coalescer.ts';

interface Item {
  key: string;
  value: number;
}

/** A coalescer whose batches the test completes by hand. */
function setUpCoalescer(
  options: {
    batchMax?: number;
    inFlightBatchesMax?: number;
    pendingCallsMax?: number;
    waitMsMax?: number;
    windowMs?: number;
  } = {},
) {
  const clock = createManualClock(0);
  const batches: { items: Item[]; answer: PromiseWithResolvers<string[]> }[] = [];
  const coalescer = createCoalescer<Item, string>({
    clock,
    keyOf: ({ key }) => key,
    merge: (waiting, arriving) => (arriving.value >= waiting.value ? arriving : waiting),
    runBatch(items) {
      const answer = Promise.withResolvers<string[]>();
      batches.push({ items, answer });
      return answer.promise;
    },
    batchMax: 10,
    inFlightBatchesMax: 1,
    pendingCallsMax: 100,
    waitMsMax: 1_000,
    windowMs: 0,
    createOverloadError: () => new Error('overloaded'),
    ...options,
  });
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  /** Completes the batch with `key=value` for each of its items. */
  async function settle(batch: number) {
    const { items, answer } = batches[batch] ?? { items: [], answer: Promise.withResolvers<string[]>() };
    answer.resolve(items.map(({ key, value }) => `${key}=${value}`));
    await turn();
  }
  return { clock, coalescer, batches, turn, settle };
}

describe('coalescer', () => {
  test('puts items of one event-loop turn into one batch, keeps the newest item of a key and resolves all its callers', async () => {
    const { coalescer, batches, turn, settle } = setUpCoalescer();
    const answers = [
      coalescer.submit({ key: 'a', value: 1 }),
      coalescer.submit({ key: 'b', value: 5 }),
      coalescer.submit({ key: 'a', value: 3 }),
      coalescer.submit({ key: 'a', value: 2 }),
    ];
    await turn();
    expect(batches[0]?.items).toEqual([
      { key: 'a', value: 3 },
      { key: 'b', value: 5 },
    ]);
    await settle(0);
    expect(await Promise.all(answers)).toEqual(['a=3', 'b=5', 'a=3', 'a=3']);
  });

  test('runs one batch at a time and collects later items for the next one', async () => {
    const { coalescer, batches, turn, settle } = setUpCoalescer();
    const first = coalescer.submit({ key: 'a', value: 1 });
    await turn();
    const later = [coalescer.submit({ key: 'a', value: 2 }), coalescer.submit({ key: 'b', value: 2 })];
    await turn();
    expect(batches).toHaveLength(1);
    await settle(0);
    expect(await first).toBe('a=1');
    expect(batches).toHaveLength(2);
    await settle(1);
    expect(await Promise.all(later)).toEqual(['a=2', 'b=2']);
  });

  test('never exceeds the maximum batch size', async () => {
    const { coalescer, batches, turn, settle } = setUpCoalescer({ batchMax: 2 });
    const answers = ['a', 'b', 'c', 'd', 'e'].map((key) => coalescer.submit({ key, value: 1 }));
    await turn();
    await settle(0);
    await settle(1);
    await settle(2);
    expect(batches.map(({ items }) => items.length)).toEqual([2, 2, 1]);
    expect(await Promise.all(answers)).toHaveLength(5);
  });

  test('waits for more items during the window, but not once a batch is full', async () => {
    const { clock, coalescer, batches, turn, settle } = setUpCoalescer({ windowMs: 5, batchMax: 3 });
    coalescer.submit({ key: 'a', value: 1 });
    await clock.advance(4);
    expect(batches).toHaveLength(0);
    for (const key of ['b', 'c', 'd', 'e', 'f']) coalescer.submit({ key, value: 1 });
    await clock.advance(1);
    await turn();
    expect(batches).toHaveLength(1);
    await settle(0);
    expect(batches.map(({ items }) => items.length)).toEqual([3, 3]);
  });

  test('rejects only the callers of a failed batch', async () => {
    const { coalescer, batches, turn, settle } = setUpCoalescer();
    const doomed = coalescer.submit({ key: 'a', value: 1 });
    await turn();
    const next = coalescer.submit({ key: 'a', value: 2 });
    batches[0]?.answer.reject(new Error('gone'));
    await expect(doomed).rejects.toThrow('gone');
    await turn();
    await settle(1);
    expect(await next).toBe('a=2');
  });

  test('starts a second concurrent batch only when it is full', async () => {
    const { coalescer, batches, turn, settle } = setUpCoalescer({ batchMax: 2, inFlightBatchesMax: 2 });
    const first = coalescer.submit({ key: 'a', value: 1 });
    await turn();
    const second = coalescer.submit({ key: 'a', value: 2 });
    await turn();
    expect(batches).toHaveLength(1);
    const third = coalescer.submit({ key: 'b', value: 3 });
    await turn();
    const [fourth, fifth] = ['c', 'd'].map((key) => coalescer.submit({ key, value: 4 }));
    await turn();
    expect(batches.map(({ items }) => items.length)).toEqual([1, 2]);
    await settle(1);
    expect(await Promise.all([second, third])).toEqual(['a=2', 'b=3']);
    await settle(0);
    await settle(2);
    expect(await Promise.all([first, fourth, fifth])).toEqual(['a=1', 'c=4', 'd=4']);
  });

  test('keeps the newest items when too many wait, and rejects all callers of the oldest one', async () => {
    const { coalescer, batches, turn, settle } = setUpCoalescer({ pendingCallsMax: 4 });
    const running = coalescer.submit({ key: 'a', value: 1 });
    await turn();
    const oldest = [1, 2].map((value) => coalescer.submit({ key: 'b', value }));
    const newer = coalescer.submit({ key: 'c', value: 1 });
    const refused = Promise.allSettled(oldest);
    const newest = coalescer.submit({ key: 'd', value: 1 });
    expect((await refused).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(coalescer.countPendingCalls()).toBe(3);
    await settle(0);
    await settle(1);
    expect(batches[1]?.items.map(({ key }) => key)).toEqual(['c', 'd']);
    expect(await Promise.all([running, newer, newest])).toEqual(['a=1', 'c=1', 'd=1']);
    expect(coalescer.countPendingCalls()).toBe(0);
  });

  test('rejects the earlier callers of the same key when too many wait, and drops no other item', async () => {
    const { coalescer, batches, turn, settle } = setUpCoalescer({ pendingCallsMax: 4 });
    const running = coalescer.submit({ key: 'a', value: 1 });
    await turn();
    const other = coalescer.submit({ key: 'b', value: 1 });
    const earlier = Promise.allSettled([1, 2].map((value) => coalescer.submit({ key: 'c', value })));
    const newest = coalescer.submit({ key: 'c', value: 3 });
    expect((await earlier).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(coalescer.countPendingCalls()).toBe(3);
    await settle(0);
    await settle(1);
    expect(await Promise.all([running, other, newest])).toEqual(['a=1', 'b=1', 'c=3']);
    expect(batches).toHaveLength(2);
    expect(coalescer.countPendingCalls()).toBe(0);
  });

  test('rejects new items while all pending calls are in flight, and accepts them afterwards', async () => {
    const { coalescer, turn, settle } = setUpCoalescer({ pendingCallsMax: 2 });
    const taken = [coalescer.submit({ key: 'a', value: 1 }), coalescer.submit({ key: 'a', value: 2 })];
    await turn();
    await expect(coalescer.submit({ key: 'b', value: 1 })).rejects.toThrow('overloaded');
    expect(coalescer.countPendingCalls()).toBe(2);
    await settle(0);
    await Promise.all(taken);
    expect(coalescer.countPendingCalls()).toBe(0);
    const again = coalescer.submit({ key: 'b', value: 1 });
    await turn();
    await settle(1);
    expect(await again).toBe('b=1');
  });

  test('rejects an item that waited too long, without running it', async () => {
    const { clock, coalescer, batches, turn, settle } = setUpCoalescer({ waitMsMax: 1_000 });
    const stuck = coalescer.submit({ key: 'a', value: 1 });
    await turn();
    const late = coalescer.submit({ key: 'b', value: 1 });
    const refused = Promise.allSettled([late]);
    await clock.advance(600);
    const inTime = coalescer.submit({ key: 'c', value: 1 });
    await clock.advance(401);
    await settle(0);
    expect((await refused)[0]).toMatchObject({ status: 'rejected', reason: { message: 'overloaded' } });
    await settle(1);
    expect(batches[1]?.items.map(({ key }) => key)).toEqual(['c']);
    expect(await Promise.all([stuck, inTime])).toEqual(['a=1', 'c=1']);
  });

  test('runs the newest item of a key when it arrived in time, however long the first has waited', async () => {
    const { clock, coalescer, turn, settle } = setUpCoalescer({ waitMsMax: 1_000 });
    const stuck = coalescer.submit({ key: 'a', value: 1 });
    await turn();
    const first = coalescer.submit({ key: 'b', value: 1 });
    await clock.advance(600);
    const second = coalescer.submit({ key: 'b', value: 2 });
    await clock.advance(600);
    await settle(0);
    await settle(1);
    expect(await Promise.all([stuck, first, second])).toEqual(['a=1', 'b=2', 'b=2']);
  });

  test('rejects callers that waited too long when a newer item of the key arrives, and runs the newer one', async () => {
    const { clock, coalescer, turn, settle } = setUpCoalescer({ waitMsMax: 1_000 });
    const stuck = coalescer.submit({ key: 'a', value: 1 });
    await turn();
    const late = Promise.allSettled([coalescer.submit({ key: 'b', value: 1 })]);
    await clock.advance(1_001);
    const newer = coalescer.submit({ key: 'b', value: 2 });
    expect((await late)[0]).toMatchObject({ status: 'rejected', reason: { message: 'overloaded' } });
    await settle(0);
    await settle(1);
    expect(await Promise.all([stuck, newer])).toEqual(['a=1', 'b=2']);
    expect(coalescer.countPendingCalls()).toBe(0);
  });

  test('settles every call, and runs the newest item of a key unless its call was rejected', async () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      settles: fc.boolean(),
      ms: fc.nat(700),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { clock, coalescer, batches, turn, settle } = setUpCoalescer({
          pendingCallsMax: 6,
          batchMax: 2,
          inFlightBatchesMax: 2,
        });
        const calls: { key: string; value: number; refused: Promise<boolean> }[] = [];
        let settled = 0;
        for (const [value, { key, settles, ms }] of steps.entries()) {
          const submitted = coalescer.submit({ key, value });
          const refused = submitted.then(
            () => false,
            () => true,
          );
          calls.push({ key, value, refused });
          expect(coalescer.countPendingCalls()).toBeLessThanOrEqual(6);
          await clock.advance(ms);
          if (settles && settled < batches.length) await settle(settled++);
        }
        await turn();
        while (settled < batches.length) await settle(settled++);
        expect(coalescer.countPendingCalls()).toBe(0);
        const sent = new Set(
          batches.flatMap(({ items }) => items.map(({ key, value }) => `${key}=${value}`)),
        );
        for (const { key, value, refused } of calls) {
          const isNewest = calls.every((call) => call.key !== key || call.value <= value);
          if (!(await refused) && isNewest) expect(sent).toContain(`${key}=${value}`);
        }
      }),
    );
  });
});
