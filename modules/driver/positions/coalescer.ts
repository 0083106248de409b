import type { Clock } from '@platform/clock.ts';

export interface CoalescerOptions<Item, Result> {
  clock: Clock;
  keyOf: (item: Item) => string;
  /** Chooses between two items with the same key in one batch. */
  merge: (waiting: Item, arriving: Item) => Item;
  /** Runs one batch with distinct keys; results have the order of the items. An error rejects all its callers. */
  runBatch: (items: Item[]) => Promise<Result[]>;
  batchMax: number;
  /** The most batches in flight; they may hold the same keys. */
  inFlightBatchesMax: number;
  /**
   * Calls that may wait. When more arrive, the oldest are rejected: the earlier calls of the same key, whose
   * item was merged into the newer one, otherwise all calls of the key that has waited longest.
   */
  pendingCallsMax: number;
  /** How long a call may wait before its batch starts; an item is dropped when its newest call exceeds this. */
  waitMsMax: number;
  /** Creates the error of a rejected call. */
  createOverloadError: () => Error;
  /** How long the first item of a batch waits for more items, ms. */
  windowMs: number;
}

export interface Coalescer<Item, Result> {
  /** Resolves with the result of the batch that carried the item, or an item that it was merged into. */
  submit(item: Item): Promise<Result>;
  countPendingCalls(): number;
}

interface Entry<Item, Result> {
  key: string;
  item: Item;
  callers: number;
  /** When the first and the last of the callers started to wait. */
  firstMs: number;
  lastMs: number;
  completion: PromiseWithResolvers<Result>;
}

/**
 * Combines single calls into batches. Items that arrive while a batch is in flight form the next one, so
 * batches grow with the load and an idle system answers at once. Another batch starts beside a running one
 * only when it is full, so under load one is prepared while the other is processed.
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
  // In order of arrival: the first entry has waited longest.
  const gathered = new Map<string, Entry<Item, Result>>();
  let waiting = 0;
  let running = 0;
  let starting = false;

  return {
    submit(item) {
      const key = keyOf(item);
      const entry = gathered.get(key);
      if (entry !== undefined) return mergeInto(entry, item);
      if (waiting >= pendingCallsMax && !rejectOldest()) return Promise.reject(createOverloadError());
      waiting++;
      const nowMs = clock.nowMs();
      const completion = Promise.withResolvers<Result>();
      gathered.set(key, { key, item, callers: 1, firstMs: nowMs, lastMs: nowMs, completion });
      scheduleBatch();
      return completion.promise;
    },
    countPendingCalls: () => waiting,
  };

  /** Merges the item into the entry that waits under the same key. */
  function mergeInto(entry: Entry<Item, Result>, item: Item): Promise<Result> {
    const nowMs = clock.nowMs();
    if (waiting >= pendingCallsMax || entry.firstMs < nowMs - waitMsMax) {
      rejectCallers(entry);
      entry.completion = Promise.withResolvers();
      entry.callers = 0;
      entry.firstMs = nowMs;
    }
    entry.item = merge(entry.item, item);
    entry.lastMs = nowMs;
    entry.callers++;
    waiting++;
    return entry.completion.promise;
  }

  /** Rejects the entry that has waited longest; false when no entry waits because all are in flight. */
  function rejectOldest(): boolean {
    const [oldest] = gathered.values();
    if (oldest !== undefined) rejectEntry(oldest);
    return oldest !== undefined;
  }

  function rejectEntry(entry: Entry<Item, Result>): void {
    gathered.delete(entry.key);
    rejectCallers(entry);
  }

  function rejectCallers({ callers, completion }: Entry<Item, Result>): void {
    waiting -= callers;
    completion.reject(createOverloadError());
  }

  function canStart(): boolean {
    return (
      gathered.size > 0 && (running === 0 || (running < inFlightBatchesMax && gathered.size >= batchMax))
    );
  }

  /** Starts a batch after the window. Without a window, items of the same event-loop turn still share a batch. */
  function scheduleBatch(): void {
    if (starting || !canStart()) return;
    starting = true;
    const window = windowMs > 0 && gathered.size < batchMax ? clock.sleep(windowMs) : Promise.resolve();
    void window.then(() => {
      starting = false;
      if (canStart()) void runBatch();
      scheduleBatch();
    });
  }

  function nextBatch(): Entry<Item, Result>[] {
    const lastMsMin = clock.nowMs() - waitMsMax;
    const batch: Entry<Item, Result>[] = [];
    for (const entry of gathered.values()) {
      if (entry.lastMs < lastMsMin) {
        rejectEntry(entry);
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
      finishBatch(batch);
      batch.forEach(({ completion }, index) => {
        const result = results[index];
        if (result === undefined) completion.reject(new Error('the batch returned too few results'));
        else completion.resolve(result);
      });
    } catch (error) {
      finishBatch(batch);
      for (const { completion } of batch) completion.reject(error);
    }
  }

  /** Starts a waiting full batch before results are delivered, so callers run while that batch is processed. */
  function finishBatch(batch: readonly Entry<Item, Result>[]): void {
    running--;
    for (const { callers } of batch) waiting -= callers;
    if (!starting && gathered.size >= batchMax) void runBatch();
    scheduleBatch();
  }
}
