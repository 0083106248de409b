const defaultTimeoutMs = 5_000;
const defaultPollMs = 10;

export type UntilOptions = {
  readonly timeoutMs?: number;
  readonly pollMs?: number;
  /** What is waited for, as shown in the failure message, such as "the trip to be assigned". Defaults to the condition's source. */
  readonly describe?: string;
  /** The actual state to show in the failure message, for conditions that only return false. */
  readonly actual?: () => unknown;
};

/**
 * Polls `condition` until it returns something other than false, null or undefined, and returns
 * that. A condition that throws is not met yet.
 * @throws Error with the last value (or error) after `timeoutMs`
 */
export const until = async <T>(
  condition: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<Exclude<T, false | null | undefined>> => {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const deadline = performance.now() + timeoutMs;
  // Created before the first await, so that its stack names the waiting line.
  const failure = new Error();
  for (;;) {
    const last = await attempt(condition);
    if (last.met) return last.value;
    if (performance.now() >= deadline) {
      const actualText =
        options.actual === undefined ? '' : `; actual: ${Bun.inspect(await options.actual())}`;
      failure.message = `waited ${timeoutMs} ms for ${options.describe ?? sourceOf(condition)}; last: ${last.shown}${actualText}`;
      failure.cause = last.error;
      throw failure;
    }
    await Bun.sleep(options.pollMs ?? defaultPollMs);
  }
};

const sourceLengthMax = 300;

/** Returns `deliveries.length === 2` for `() => deliveries.length === 2`. */
const sourceOf = (condition: () => unknown): string =>
  condition
    .toString()
    .replace(/^(async )?\(\) => /, '')
    .replace(/\s+/g, ' ')
    .slice(0, sourceLengthMax);

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
