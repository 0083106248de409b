import { createPendingCalls, type PendingCallsOptions, type PendingEntry } from './pending-calls.ts';

export interface CoalescerOptions<Item, Result> extends PendingCallsOptions<Item> {
  keyOf: (item: Item) => string;
  /** Runs one batch with distinct keys; results have the order of the items. An error rejects all its callers. */
  runBatch: (items: Item[]) => Promise<Result[]>;
  batchMax: number;
  /** The most batches in flight; they may hold the same keys. */
  inFlightBatchesMax: number;
  /** How long the first item of a batch waits for more items, ms. */
  windowMs: number;
}

export interface Coalescer<Item, Result> {
  /** Resolves with the result of the batch that carried the item, or an item that it was merged into. */
  submit(item: Item): Promise<Result>;
  countPendingCalls(): number;
}

/**
 * Combines single calls into batches. Items that arrive while a batch is in flight form the next one, so
 * batches grow with the load and an idle system answers at once. Another batch starts beside a running one
 * only when it is full, so under load one is prepared while the other is processed.
 *
 *     idle ── submit ──► scheduled ── end of turn or window ──► in flight ── batch ends ──► idle or scheduled
 *                                                                   └─ a full batch waits: another one starts
 */
export function createCoalescer<Item, Result>(
  options: CoalescerOptions<Item, Result>,
): Coalescer<Item, Result> {
  const { clock, keyOf, runBatch, batchMax, inFlightBatchesMax, windowMs } = options;
  const pending = createPendingCalls<Item, Result>(options);
  let inFlightBatches = 0;
  let isScheduled = false;

  return {
    submit(item) {
      const result = pending.add(keyOf(item), item);
      scheduleBatch();
      return result;
    },
    countPendingCalls: pending.countCalls,
  };

  function canStart(): boolean {
    const waiting = pending.countWaitingEntries();
    if (inFlightBatches === 0) return waiting > 0;
    return inFlightBatches < inFlightBatchesMax && waiting >= batchMax;
  }

  function isFullBatchWaiting(): boolean {
    return pending.countWaitingEntries() >= batchMax;
  }

  /** Starts a batch after the window. Without a window, items of the same event-loop turn still share a batch. */
  function scheduleBatch(): void {
    if (isScheduled || !canStart()) return;
    isScheduled = true;
    const window = windowMs > 0 && !isFullBatchWaiting() ? clock.sleep(windowMs) : Promise.resolve();
    void window.then(() => {
      isScheduled = false;
      if (canStart()) void startBatch();
      scheduleBatch();
    });
  }

  async function startBatch(): Promise<void> {
    const batch = pending.take(batchMax);
    if (batch.length === 0) return;
    inFlightBatches++;
    try {
      const results = await runBatch(batch.map(({ item }) => item));
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
  function finishBatch(batch: readonly PendingEntry<Item, Result>[]): void {
    inFlightBatches--;
    pending.finish(batch);
    if (!isScheduled && isFullBatchWaiting()) void startBatch();
    scheduleBatch();
  }
}
