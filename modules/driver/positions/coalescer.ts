import type { Clock } from '@platform/clock.ts';

export interface CoalescerOptions<Item, Result> {
  clock: Clock;
  keyOf: (item: Item) => string;
  /** Of two items with one key in one batch, the one that goes on. */
  merge: (waiting: Item, arriving: Item) => Item;
  /** One batch, its keys distinct; results in the order of the items. A throw goes to everyone who waits for it. */
  run: (items: Item[]) => Promise<Result[]>;
  batchMax: number;
  /** Callers that may wait; more are refused at once. */
  waitingMax: number;
  /** What `waitingMax` is refused with. */
  overloaded: () => Error;
  /** How long the first item of a batch waits for company, ms. */
  windowMs: number;
}

export interface Coalescer<Item, Result> {
  /** Resolves with the result of the batch that carried the item (or one that was merged over it). */
  submit(item: Item): Promise<Result>;
  waiting(): number;
}

/**
 * Gathers single calls into batches, one batch at a time: what arrives while one is under way makes up
 * the next, so batches grow with the load by themselves and a quiet system answers at once.
 */
export function createCoalescer<Item, Result>(
  options: CoalescerOptions<Item, Result>,
): Coalescer<Item, Result> {
  const { clock, keyOf, merge, run, batchMax, waitingMax, windowMs, overloaded } = options;
  const gathered = new Map<string, { item: Item; callers: number; answer: PromiseWithResolvers<Result> }>();
  let waiting = 0;
  let running = false;

  return {
    submit(item) {
      if (waiting >= waitingMax) return Promise.reject(overloaded());
      waiting++;
      const key = keyOf(item);
      const entry = gathered.get(key);
      if (entry !== undefined) {
        entry.item = merge(entry.item, item);
        entry.callers++;
        return entry.answer.promise;
      }
      const answer = Promise.withResolvers<Result>();
      gathered.set(key, { item, callers: 1, answer });
      if (!running) void drain();
      return answer.promise;
    },
    waiting: () => waiting,
  };

  async function drain(): Promise<void> {
    running = true;
    while (gathered.size > 0) {
      // Without a window what arrives in the same turn still goes together.
      if (gathered.size < batchMax) await (windowMs > 0 ? clock.sleep(windowMs) : Promise.resolve());
      await flush();
    }
    running = false;
  }

  async function flush(): Promise<void> {
    const batch = [];
    for (const [key, entry] of gathered) {
      if (batch.length === batchMax) break;
      gathered.delete(key);
      batch.push(entry);
    }
    try {
      const results = await run(batch.map(({ item }) => item));
      batch.forEach(({ answer }, index) => {
        const result = results[index];
        if (result === undefined) answer.reject(new Error('a batch came back without one of its results'));
        else answer.resolve(result);
      });
    } catch (error) {
      for (const { answer } of batch) answer.reject(error);
    } finally {
      for (const { callers } of batch) waiting -= callers;
    }
  }
}
