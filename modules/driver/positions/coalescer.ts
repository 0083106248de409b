import type { Clock } from '@platform/clock.ts';

export interface CoalescerOptions<Item, Result> {
  clock: Clock;
  keyOf: (item: Item) => string;
  /** Of two items with one key in one batch, the one that goes on. */
  merge: (waiting: Item, arriving: Item) => Item;
  /** One batch, its keys distinct; results in the order of the items. A throw goes to everyone who waits for it. */
  runBatch: (items: Item[]) => Promise<Result[]>;
  batchMax: number;
  /** Batches under way at once, at most; they may hold the same keys. */
  inFlightBatchesMax: number;
  /**
   * Callers that may wait. When more come, those who wait longest are refused: the earlier callers of the
   * same key, whose item was merged into the newer one, else all of the key that waits longest.
   */
  pendingCallsMax: number;
  /** How long a caller may wait for his turn; an item is given up when its newest caller has. */
  waitMsMax: number;
  /** What callers are refused with. */
  createOverloadError: () => Error;
  /** How long the first item of a batch waits for company, ms. */
  windowMs: number;
}

export interface Coalescer<Item, Result> {
  /** Resolves with the result of the batch that carried the item (or one that was merged over it). */
  submit(item: Item): Promise<Result>;
  countPendingCalls(): number;
}

interface Entry<Item, Result> {
  key: string;
  item: Item;
  callers: number;
  /** Since when the first of the callers waits, and the last. */
  firstMs: number;
  lastMs: number;
  answer: PromiseWithResolvers<Result>;
}

/**
 * Gathers single calls into batches. What arrives while one is under way makes up the next, so batches
 * grow with the load by themselves and a quiet system answers at once; another one starts beside it
 * only when it is full, so that under load one is made ready while the other is worked on.
 */
export function createCoalescer<Item, Result>(
  options: CoalescerOptions<Item, Result>,
): Coalescer<Item, Result> {
  const {
    clock,
    keyOf,
    merge,
    runBatch: run,
    batchMax,
    inFlightBatchesMax,
    pendingCallsMax,
    waitMsMax,
    windowMs,
    createOverloadError,
  } = options;
  // In the order in which they came: the first is the one that waits longest.
  const gathered = new Map<string, Entry<Item, Result>>();
  let waiting = 0;
  let running = 0;
  let starting = false;

  return {
    submit(item) {
      const key = keyOf(item);
      const entry = gathered.get(key);
      if (entry !== undefined) return join(entry, item);
      if (waiting >= pendingCallsMax && !refuseLongest()) return Promise.reject(createOverloadError());
      waiting++;
      const nowMs = clock.nowMs();
      const answer = Promise.withResolvers<Result>();
      gathered.set(key, { key, item, callers: 1, firstMs: nowMs, lastMs: nowMs, answer });
      startSoon();
      return answer.promise;
    },
    countPendingCalls: () => waiting,
  };

  /** The item goes on in the place of the one that waits. */
  function join(entry: Entry<Item, Result>, item: Item): Promise<Result> {
    const nowMs = clock.nowMs();
    if (waiting >= pendingCallsMax || entry.firstMs < nowMs - waitMsMax) {
      refuseCallers(entry);
      entry.answer = Promise.withResolvers();
      entry.callers = 0;
      entry.firstMs = nowMs;
    }
    entry.item = merge(entry.item, item);
    entry.lastMs = nowMs;
    entry.callers++;
    waiting++;
    return entry.answer.promise;
  }

  /** False when nobody waits for his turn: all are under way. */
  function refuseLongest(): boolean {
    const [longest] = gathered.values();
    if (longest !== undefined) refuse(longest);
    return longest !== undefined;
  }

  function refuse(entry: Entry<Item, Result>): void {
    gathered.delete(entry.key);
    refuseCallers(entry);
  }

  function refuseCallers({ callers, answer }: Entry<Item, Result>): void {
    waiting -= callers;
    answer.reject(createOverloadError());
  }

  function mayStart(): boolean {
    return (
      gathered.size > 0 && (running === 0 || (running < inFlightBatchesMax && gathered.size >= batchMax))
    );
  }

  /** Without a window what arrives in the same turn still goes together. */
  function startSoon(): void {
    if (starting || !mayStart()) return;
    starting = true;
    const company = windowMs > 0 && gathered.size < batchMax ? clock.sleep(windowMs) : Promise.resolve();
    void company.then(() => {
      starting = false;
      if (mayStart()) void runBatch();
      startSoon();
    });
  }

  function nextBatch(): Entry<Item, Result>[] {
    const lastMsMin = clock.nowMs() - waitMsMax;
    const batch: Entry<Item, Result>[] = [];
    for (const entry of gathered.values()) {
      if (entry.lastMs < lastMsMin) {
        refuse(entry);
        continue;
      }
      if (batch.length === batchMax) break;
      gathered.delete(entry.key);
      batch.push(entry);
    }
    return batch;
  }

  async function runBatch(): Promise<void> {
    const batch = nextBatch();
    if (batch.length === 0) return;
    running++;
    try {
      const results = await run(batch.map(({ item }) => item));
      ended(batch);
      batch.forEach(({ answer }, index) => {
        const result = results[index];
        if (result === undefined) answer.reject(new Error('a batch came back without one of its results'));
        else answer.resolve(result);
      });
    } catch (error) {
      ended(batch);
      for (const { answer } of batch) answer.reject(error);
    }
  }

  /** A full batch that waits is sent before the answers go out: who hears them does so while it is worked on. */
  function ended(batch: readonly Entry<Item, Result>[]): void {
    running--;
    for (const { callers } of batch) waiting -= callers;
    if (!starting && gathered.size >= batchMax) void runBatch();
    startSoon();
  }
}
