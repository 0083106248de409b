import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type BatcherOptions, createBatcher } from './batcher.ts';
import { createManualClock } from './clock.ts';

/** A batcher of numbers. Each batch stays in flight until the test releases it. */
function createTestBatcher(options: Partial<BatcherOptions<number, string>> = {}) {
  const clock = createManualClock(0);
  const batches: number[][] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  const call = createBatcher<number, string>({
    clock,
    keyOf: String,
    batchMax: 4,
    inFlightBatchesMax: 1,
    pendingCallsMax: 100,
    waitMsMax: 1_000,
    createOverloadError: () => new Error('overloaded'),
    runBatch: async (items) => {
      const gate = Promise.withResolvers<void>();
      batches.push(items);
      gates.push(gate);
      await gate.promise;
      return items.map((item) => `done ${item}`);
    },
    ...options,
  });
  /** Lets the batch at `index` return. */
  const release = async (index: number) => {
    gates[index]?.resolve();
    await nextTurn();
  };
  return { clock, call, batches, gates, release };
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the batcher', () => {
  test('starts a call at once while nothing is in flight, without waiting for the clock', async () => {
    const { call, batches, release, clock } = createTestBatcher();
    const answer = call(1);
    await nextTurn();
    expect([batches, clock.sleepers()]).toEqual([[[1]], 0]);
    await release(0);
    expect(await answer).toBe('done 1');
  });

  test('puts the calls of one turn into one batch, and later calls into the next one when it returns', async () => {
    const { call, batches, release } = createTestBatcher();
    const answers = [call(1), call(2)];
    await nextTurn();
    answers.push(call(3), call(4));
    await nextTurn();
    expect(batches).toEqual([[1, 2]]);
    await release(0);
    expect(batches).toEqual([
      [1, 2],
      [3, 4],
    ]);
    await release(1);
    expect(await Promise.all(answers)).toEqual(['done 1', 'done 2', 'done 3', 'done 4']);
  });

  test('starts a second batch beside the first once it is full, and never more than inFlightBatchesMax', async () => {
    const { call, batches } = createTestBatcher({ batchMax: 2, inFlightBatchesMax: 2 });
    void call(1);
    await nextTurn();
    void call(2);
    await nextTurn();
    expect(batches).toEqual([[1]]);
    for (const item of [3, 4, 5, 6]) void call(item);
    await nextTurn();
    expect(batches).toEqual([[1], [2, 3]]);
  });

  test('runs calls of one key one after another, without delaying other keys', async () => {
    const { call, batches, release } = createTestBatcher({ keyOf: (item) => String(item % 10) });
    for (const item of [1, 11, 2, 21]) void call(item);
    await nextTurn();
    await release(0);
    await release(1);
    expect(batches).toEqual([[1, 2], [11], [21]]);
  });

  test('delays only the key of a result that takes longer', async () => {
    const slow = Promise.withResolvers<string>();
    const batches: number[][] = [];
    const { call } = createTestBatcher({
      keyOf: (item) => String(item % 10),
      runBatch: async (items) => {
        batches.push(items);
        return items.map((item) => (item === 1 ? slow.promise : `done ${item}`));
      },
    });
    const first = call(1);
    expect(await call(2)).toBe('done 2');
    const later = call(11);
    expect(await call(3)).toBe('done 3');
    expect(batches.flat()).not.toContain(11);
    slow.resolve('late');
    expect([await first, await later]).toEqual(['late', 'done 11']);
  });

  test('rejects the calls of a batch that throws, and no others', async () => {
    const { call } = createTestBatcher({
      runBatch: async (items) => {
        if (items.includes(2)) throw new Error('two');
        return items.map(String);
      },
    });
    const answers = await Promise.allSettled([call(1), call(2)]);
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await call(3)).toBe('3');
  });

  test('rejects the calls of a batch that returns too few results', async () => {
    const { call } = createTestBatcher({ runBatch: async () => [] });
    expect(call(1)).rejects.toThrow('without one of its results');
  });

  test('rejects calls beyond pendingCallsMax at once, and accepts calls again later', async () => {
    const { call, release, batches } = createTestBatcher({ pendingCallsMax: 2 });
    const taken = [call(1), call(2)];
    expect(call(3)).rejects.toThrow('overloaded');
    await nextTurn();
    await release(0);
    await Promise.all(taken);
    void call(4);
    await nextTurn();
    expect(batches).toEqual([[1, 2], [4]]);
  });

  test('rejects a call that waited longer than waitMsMax instead of running it', async () => {
    const { call, clock, release, batches } = createTestBatcher({ waitMsMax: 100, pendingCallsMax: 3 });
    void call(1);
    await nextTurn();
    const stale = call(2);
    await clock.advance(101);
    const fresh = call(3);
    expect((await Promise.allSettled([release(0), stale]))[1]?.status).toBe('rejected');
    expect(batches).toEqual([[1], [3]]);
    await release(1);
    expect(await fresh).toBe('done 3');
  });

  test('answers every call once, in the order of its key, within all limits', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        async (keys, batchMax, inFlightBatchesMax) => {
          let inFlight = 0;
          const order: number[] = [];
          const call = createBatcher<number, number>({
            clock: createManualClock(0),
            keyOf: (index) => String(keys[index]),
            batchMax,
            inFlightBatchesMax,
            pendingCallsMax: 100,
            waitMsMax: 1,
            createOverloadError: () => new Error('overloaded'),
            runBatch: async (items) => {
              inFlight++;
              expect(inFlight).toBeLessThanOrEqual(inFlightBatchesMax);
              expect(items.length).toBeLessThanOrEqual(batchMax);
              expect(new Set(items.map((index) => keys[index])).size).toBe(items.length);
              await nextTurn();
              order.push(...items);
              inFlight--;
              return items;
            },
          });
          const indexes = keys.map((_, index) => index);
          expect(await Promise.all(indexes.map(call))).toEqual(indexes);
          for (const key of new Set(keys)) {
            const ofKey = order.filter((index) => keys[index] === key);
            expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b));
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
