import type { Clock } from './clock.ts';

export interface BatcherOptions<Item, Result> {
  clock: Clock;
  /** Items with the same key are never in flight together: they run one after another, in order of arrival. */
  keyOf: (item: Item) => string;
  /**
   * Does the work of one batch and returns the results in the order of its items. A result may still be
   * a promise: it then delays only its own call and key, not the rest of the batch. When the function
   * throws, every call of the batch rejects.
   */
  runBatch: (items: Item[]) => Promise<readonly (Result | Promise<Result>)[]>;
  /** The most items in one batch. */
  batchMax: number;
  /** The most batches in flight at once. */
  inFlightBatchesMax: number;
  /** The most calls without an answer. Calls beyond it reject at once. */
  pendingCallsMax: number;
  /** A call that waited longer than this rejects instead of running: its caller has likely gone. */
  waitMsMax: number;
  /** Creates the error with which a call is rejected when a limit is exceeded. */
  createOverloadError: () => Error;
}

interface Call<Item, Result> {
  item: Item;
  key: string;
  enqueuedAtMs: number;
  answer: PromiseWithResolvers<Result>;
}

/**
 * Turns single calls into batches that share the cost of one operation.
 *
 * States of a call: waiting → in flight → answered; or waiting → rejected, when it waited too long.
 *
 * - While no batch is in flight, a call starts at once, together with the calls made in the same
 *   microtask turn.
 * - While batches are in flight, calls gather. They start as one batch when a batch returns or, up to
 *   `inFlightBatchesMax`, as soon as they fill a batch.
 *
 * So batches grow with the load by themselves, and there is no time window: an idle system never waits.
 */
export function createBatcher<Item, Result>(
  options: BatcherOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  const { clock, keyOf, runBatch, batchMax, inFlightBatchesMax } = options;
  const { pendingCallsMax, waitMsMax, createOverloadError } = options;
  let waiting: Call<Item, Result>[] = [];
  const keysInFlight = new Set<string>();
  let pendingCalls = 0;
  let inFlightBatches = 0;
  let isStartScheduled = false;

  return (item) => {
    if (pendingCalls >= pendingCallsMax) return Promise.reject(createOverloadError());
    pendingCalls++;
    const answer = Promise.withResolvers<Result>();
    waiting.push({ item, key: keyOf(item), enqueuedAtMs: clock.nowMs(), answer });
    scheduleStart();
    return answer.promise;
  };

  /** Starts at the end of the turn: many callers wake at once when a batch returns, and belong together. */
  function scheduleStart(): void {
    if (isStartScheduled || !mayStart()) return;
    isStartScheduled = true;
    queueMicrotask(() => {
      isStartScheduled = false;
      if (!mayStart()) return;
      const batch = takeNextBatch();
      if (batch.length === 0) return;
      void run(batch);
      scheduleStart();
    });
  }

  function mayStart(): boolean {
    if (waiting.length === 0) return false;
    return inFlightBatches === 0 || (inFlightBatches < inFlightBatchesMax && waiting.length >= batchMax);
  }

  /** Takes the calls that have waited longest and whose key is not in flight. */
  function takeNextBatch(): Call<Item, Result>[] {
    const enqueuedAtMsMin = clock.nowMs() - waitMsMax;
    const batch: Call<Item, Result>[] = [];
    waiting = waiting.filter((call) => {
      if (call.enqueuedAtMs < enqueuedAtMsMin) {
        pendingCalls--;
        call.answer.reject(createOverloadError());
        return false;
      }
      if (batch.length === batchMax || keysInFlight.has(call.key)) return true;
      keysInFlight.add(call.key);
      batch.push(call);
      return false;
    });
    return batch;
  }

  async function run(batch: Call<Item, Result>[]): Promise<void> {
    inFlightBatches++;
    try {
      const results = await runBatch(batch.map(({ item }) => item));
      if (results.length !== batch.length) throw new Error('the batch returned without one of its results');
      for (const [index, result] of results.entries()) {
        const call = batch[index];
        if (call !== undefined) settle(call, result);
      }
    } catch (error) {
      for (const call of batch) {
        release(call);
        call.answer.reject(error);
      }
    } finally {
      inFlightBatches--;
      scheduleStart();
    }
  }

  function settle(call: Call<Item, Result>, result: Result | Promise<Result>): void {
    if (result instanceof Promise) {
      result.finally(() => release(call)).then(call.answer.resolve, call.answer.reject);
      return;
    }
    release(call);
    call.answer.resolve(result);
  }

  function release({ key }: Call<Item, Result>): void {
    pendingCalls--;
    keysInFlight.delete(key);
    scheduleStart();
  }
}
