import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type BatcherOptions, createBatcher } from './batcher.ts';
import { createManualClock } from './clock.ts';

/** Calls of numbers; each group is held until it is let go. */
function create(options: Partial<BatcherOptions<number, string>> = {}) {
  const clock = createManualClock(0);
  const sent: number[][] = [];
  const held: PromiseWithResolvers<void>[] = [];
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
      sent.push(items);
      held.push(gate);
      await gate.promise;
      return items.map((item) => `done ${item}`);
    },
    ...options,
  });
  /** The group at `index` returns. */
  const release = async (index: number) => {
    held[index]?.resolve();
    await turn();
  };
  return { clock, call, sent, held, release };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('grouped calls', () => {
  test('a call goes at once while nothing is under way, without the clock having to move', async () => {
    const { call, sent, release, clock } = create();
    const answer = call(1);
    await turn();
    expect([sent, clock.sleepers()]).toEqual([[[1]], 0]);
    await release(0);
    expect(await answer).toBe('done 1');
  });

  test('what comes in one turn goes together; what comes meanwhile goes when the group returns', async () => {
    const { call, sent, release } = create();
    const answers = [call(1), call(2)];
    await turn();
    answers.push(call(3), call(4));
    await turn();
    expect(sent).toEqual([[1, 2]]);
    await release(0);
    expect(sent).toEqual([
      [1, 2],
      [3, 4],
    ]);
    await release(1);
    expect(await Promise.all(answers)).toEqual(['done 1', 'done 2', 'done 3', 'done 4']);
  });

  test('a second group goes beside the first once it is full, and no more than groupsMax do', async () => {
    const { call, sent } = create({ batchMax: 2, inFlightBatchesMax: 2 });
    void call(1);
    await turn();
    void call(2);
    await turn();
    expect(sent).toEqual([[1]]);
    for (const item of [3, 4, 5, 6]) void call(item);
    await turn();
    expect(sent).toEqual([[1], [2, 3]]);
  });

  test('calls of one key go one after the other, and hold up nobody else', async () => {
    const { call, sent, release } = create({ keyOf: (item) => String(item % 10) });
    for (const item of [1, 11, 2, 21]) void call(item);
    await turn();
    await release(0);
    await release(1);
    expect(sent).toEqual([[1, 2], [11], [21]]);
  });

  test('a result that takes longer holds back its key only', async () => {
    const slow = Promise.withResolvers<string>();
    const sent: number[][] = [];
    const { call } = create({
      keyOf: (item) => String(item % 10),
      runBatch: async (items) => {
        sent.push(items);
        return items.map((item) => (item === 1 ? slow.promise : `done ${item}`));
      },
    });
    const first = call(1);
    expect(await call(2)).toBe('done 2');
    const later = call(11);
    expect(await call(3)).toBe('done 3');
    expect(sent.flat()).not.toContain(11);
    slow.resolve('late');
    expect([await first, await later]).toEqual(['late', 'done 11']);
  });

  test('a throw goes to its group and to nobody else', async () => {
    const { call } = create({
      runBatch: async (items) => {
        if (items.includes(2)) throw new Error('two');
        return items.map(String);
      },
    });
    const answers = await Promise.allSettled([call(1), call(2)]);
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await call(3)).toBe('3');
  });

  test('a group that comes back short is an error, not a hang', async () => {
    const { call } = create({ runBatch: async () => [] });
    expect(call(1)).rejects.toThrow('without one of its results');
  });

  test('more calls than callsMax are refused at once, and taken again after the others', async () => {
    const { call, release, sent } = create({ pendingCallsMax: 2 });
    const taken = [call(1), call(2)];
    expect(call(3)).rejects.toThrow('overloaded');
    await turn();
    await release(0);
    await Promise.all(taken);
    void call(4);
    await turn();
    expect(sent).toEqual([[1, 2], [4]]);
  });

  test('who has waited longer than waitMsMax is refused instead of done for nobody', async () => {
    const { call, clock, release, sent } = create({ waitMsMax: 100, pendingCallsMax: 3 });
    void call(1);
    await turn();
    const stale = call(2);
    await clock.advance(101);
    const fresh = call(3);
    expect((await Promise.allSettled([release(0), stale]))[1]?.status).toBe('rejected');
    expect(sent).toEqual([[1], [3]]);
    await release(1);
    expect(await fresh).toBe('done 3');
  });

  test('every call is answered once, in the order of its key, within all bounds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 3 }),
        async (keys, batchMax, inFlightBatchesMax) => {
          let under = 0;
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
              under++;
              expect(under).toBeLessThanOrEqual(inFlightBatchesMax);
              expect(items.length).toBeLessThanOrEqual(batchMax);
              expect(new Set(items.map((index) => keys[index])).size).toBe(items.length);
              await turn();
              order.push(...items);
              under--;
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
