import type { Clock } from '@platform/clock.ts';

export interface PendingCallsOptions<Item> {
  clock: Clock;
  /** Chooses between two items with the same key. */
  merge: (waiting: Item, arriving: Item) => Item;
  /**
   * Calls that may wait. When more arrive, the oldest are rejected: the earlier calls of the same key, whose
   * item was merged into the newer one, otherwise all calls of the key that has waited longest.
   */
  pendingCallsMax: number;
  /** How long a call may wait before it is taken; an item is dropped when its newest call exceeds this. */
  waitMsMax: number;
  /** Creates the error of a rejected call. */
  createOverloadError: () => Error;
}

/** The calls of one key. */
export interface PendingEntry<Item, Result> {
  key: string;
  item: Item;
  callers: number;
  /** When the first and the last of the callers started to wait. */
  firstMs: number;
  lastMs: number;
  completion: PromiseWithResolvers<Result>;
}

/**
 * A bounded queue of calls with one entry for each key.
 *
 *     waiting ── take ──► taken ── finish ──► resolved or rejected by the caller of `take`
 *      │  ▲└─ add with the same key: merged, or the earlier calls are rejected
 *      └──── waited too long, or too many calls wait ──► rejected
 */
export function createPendingCalls<Item, Result>(options: PendingCallsOptions<Item>) {
  const { clock, merge, pendingCallsMax, waitMsMax, createOverloadError } = options;
  // In order of arrival: the first entry has waited longest.
  const entries = new Map<string, PendingEntry<Item, Result>>();
  /** Waiting and taken. */
  let calls = 0;

  return {
    add(key: string, item: Item): Promise<Result> {
      const entry = entries.get(key);
      if (entry !== undefined) return mergeInto(entry, item);
      if (calls >= pendingCallsMax && !rejectOldest()) return Promise.reject(createOverloadError());
      calls++;
      const nowMs = clock.nowMs();
      const completion = Promise.withResolvers<Result>();
      entries.set(key, { key, item, callers: 1, firstMs: nowMs, lastMs: nowMs, completion });
      return completion.promise;
    },
    /** Removes the entries that have waited longest, at most `countMax`, and rejects those that waited too long. */
    take(countMax: number): PendingEntry<Item, Result>[] {
      const lastMsMin = clock.nowMs() - waitMsMax;
      const taken: PendingEntry<Item, Result>[] = [];
      for (const entry of entries.values()) {
        if (entry.lastMs < lastMsMin) {
          rejectEntry(entry);
          continue;
        }
        if (taken.length === countMax) break;
        entries.delete(entry.key);
        taken.push(entry);
      }
      return taken;
    },
    /** The calls of taken entries no longer count. */
    finish(taken: readonly PendingEntry<Item, Result>[]): void {
      for (const { callers } of taken) calls -= callers;
    },
    countWaitingEntries: () => entries.size,
    countCalls: () => calls,
  };

  function mergeInto(entry: PendingEntry<Item, Result>, item: Item): Promise<Result> {
    const nowMs = clock.nowMs();
    if (calls >= pendingCallsMax || entry.firstMs < nowMs - waitMsMax) {
      rejectCallers(entry);
      entry.completion = Promise.withResolvers();
      entry.callers = 0;
      entry.firstMs = nowMs;
    }
    entry.item = merge(entry.item, item);
    entry.lastMs = nowMs;
    entry.callers++;
    calls++;
    return entry.completion.promise;
  }

  /** False when no entry waits because all calls are taken. */
  function rejectOldest(): boolean {
    const [oldest] = entries.values();
    if (oldest !== undefined) rejectEntry(oldest);
    return oldest !== undefined;
  }

  function rejectEntry(entry: PendingEntry<Item, Result>): void {
    entries.delete(entry.key);
    rejectCallers(entry);
  }

  function rejectCallers({ callers, completion }: PendingEntry<Item, Result>): void {
    calls -= callers;
    completion.reject(createOverloadError());
  }
}
