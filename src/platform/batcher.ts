import type { Clock } from './clock.ts';

export interface BatcherOptions<Item, Result> {
  clock: Clock;
  /** Items of one key never go together: they go one after the other, in the order they came. */
  keyOf: (item: Item) => string;
  /**
   * Does the work of one group and gives the results in the order of its items. A result that is still
   * a promise lets its neighbours go: it holds back its own key only. A throw goes to the whole group.
   */
  runBatch: (items: Item[]) => Promise<readonly (Result | Promise<Result>)[]>;
  /** Items of one group, at most. */
  batchMax: number;
  /** Groups under way at once, at most. */
  inFlightBatchesMax: number;
  /** Calls without an answer, at most; more are refused at once. */
  pendingCallsMax: number;
  /** How long a call may wait for its turn; after that it is refused, since its caller has likely gone. */
  waitMsMax: number;
  /** What a call is refused with. */
  createOverloadError: () => Error;
}

interface Call<Item, Result> {
  item: Item;
  key: string;
  sinceMs: number;
  answer: PromiseWithResolvers<Result>;
}

/**
 * Turns single calls into groups that share what one piece of work costs. While nothing is under way a
 * call goes at once, with whatever came in the same turn. What comes later gathers, and goes as one
 * when a group returns or, up to `inFlightBatchesMax`, when it is a full group. So groups grow with the load by
 * themselves, and an idle system waits for nothing: there is no window.
 */
export function createBatcher<Item, Result>(
  options: BatcherOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  const {
    clock,
    keyOf,
    runBatch,
    batchMax,
    inFlightBatchesMax,
    pendingCallsMax,
    waitMsMax,
    createOverloadError,
  } = options;
  let waiting: Call<Item, Result>[] = [];
  const busyKeys = new Set<string>();
  let calls = 0;
  let groups = 0;
  let starting = false;

  return (item) => {
    if (calls >= pendingCallsMax) return Promise.reject(createOverloadError());
    calls++;
    const answer = Promise.withResolvers<Result>();
    waiting.push({ item, key: keyOf(item), sinceMs: clock.nowMs(), answer });
    startSoon();
    return answer.promise;
  };

  /** At the end of the turn: many callers wake at once when a group returns, and shall go together. */
  function startSoon(): void {
    if (starting || !mayStart()) return;
    starting = true;
    queueMicrotask(() => {
      starting = false;
      if (!mayStart()) return;
      const group = nextGroup();
      if (group.length === 0) return;
      void runGroup(group);
      startSoon();
    });
  }

  function mayStart(): boolean {
    return (
      waiting.length > 0 && (groups === 0 || (groups < inFlightBatchesMax && waiting.length >= batchMax))
    );
  }

  /** The longest waiting whose keys are free. */
  function nextGroup(): Call<Item, Result>[] {
    const sinceMsMin = clock.nowMs() - waitMsMax;
    const group: Call<Item, Result>[] = [];
    waiting = waiting.filter((call) => {
      if (call.sinceMs < sinceMsMin) {
        calls--;
        call.answer.reject(createOverloadError());
        return false;
      }
      if (group.length === batchMax || busyKeys.has(call.key)) return true;
      busyKeys.add(call.key);
      group.push(call);
      return false;
    });
    return group;
  }

  async function runGroup(group: Call<Item, Result>[]): Promise<void> {
    groups++;
    try {
      const results = await runBatch(group.map(({ item }) => item));
      if (results.length !== group.length) throw new Error('a group came back without one of its results');
      for (const [index, result] of results.entries()) {
        const call = group[index];
        if (call !== undefined) settle(call, result);
      }
    } catch (error) {
      for (const call of group) {
        ended(call);
        call.answer.reject(error);
      }
    } finally {
      groups--;
      startSoon();
    }
  }

  function settle(call: Call<Item, Result>, result: Result | Promise<Result>): void {
    if (result instanceof Promise) {
      result.finally(() => ended(call)).then(call.answer.resolve, call.answer.reject);
      return;
    }
    ended(call);
    call.answer.resolve(result);
  }

  function ended({ key }: Call<Item, Result>): void {
    calls--;
    busyKeys.delete(key);
    startSoon();
  }
}
