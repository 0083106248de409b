const defaultTimeoutMs = 5_000;
const pollMs = 10;

export type UntilOptions = {
  readonly timeoutMs?: number;
  /** What was waited for, for the failure's message: "the trip to be assigned". */
  readonly describe?: string;
};

/**
 * Polls `condition` until it returns something other than false, null or undefined, and returns
 * that. A condition that throws counts as not yet met.
 * @throws Error with the last value (or error) after `timeoutMs`
 */
export const until = async <T>(
  condition: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<Exclude<T, false | null | undefined>> => {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const last = await attempt(condition);
    if (last.met) return last.value;
    if (performance.now() >= deadline) {
      throw new Error(
        `waited ${timeoutMs} ms for ${options.describe ?? 'a condition'}; last: ${last.shown}`,
        { cause: last.error },
      );
    }
    await Bun.sleep(pollMs);
  }
};

type Attempt<T> =
  | { met: true; value: Exclude<T, false | null | undefined> }
  | { met: false; shown: string; error: unknown };

const attempt = async <T>(condition: () => T | Promise<T>): Promise<Attempt<T>> => {
  try {
    const value = await condition();
    return isMet(value) ? { met: true, value } : { met: false, shown: Bun.inspect(value), error: undefined };
  } catch (error) {
    return { met: false, shown: `threw ${String(error)}`, error };
  }
};

const isMet = <T>(value: T): value is Exclude<T, false | null | undefined> =>
  value !== false && value !== null && value !== undefined;
