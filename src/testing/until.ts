const defaultTimeoutMs = 5_000;
const defaultPollMs = 10;

export type UntilOptions = {
  readonly timeoutMs?: number;
  readonly pollMs?: number;
  /** What was waited for, for the failure's message: "the trip to be assigned". Without it the condition's source. */
  readonly describe?: string;
  /** What there was instead, for the failure's message, where the condition itself only says no. */
  readonly actual?: () => unknown;
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
  // Made here, so that it names the line that waits.
  const failure = new Error();
  for (;;) {
    const last = await attempt(condition);
    if (last.met) return last.value;
    if (performance.now() >= deadline) {
      const seen = options.actual === undefined ? '' : `; seen: ${Bun.inspect(await options.actual())}`;
      failure.message = `waited ${timeoutMs} ms for ${options.describe ?? sourceOf(condition)}; last: ${last.shown}${seen}`;
      failure.cause = last.error;
      throw failure;
    }
    await Bun.sleep(options.pollMs ?? defaultPollMs);
  }
};

const sourceLengthMax = 300;

/** `deliveries.length === 2` of `() => deliveries.length === 2`. */
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
