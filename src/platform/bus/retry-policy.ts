import type { Random } from '../random.ts';

/** How often and when an event that failed comes again. */
export interface RetryPolicy {
  /** One rung after each failure; the last one is used again until `attemptsMax`. */
  delaysMs: readonly number[];
  /** Handled so often at most; then the event goes to the dead letters. */
  attemptsMax: number;
}

/** About five minutes in all: long enough for a database to be failed over by hand. */
export const defaultRetryPolicy: RetryPolicy = { delaysMs: [200, 1_000, 5_000, 30_000], attemptsMax: 12 };

/**
 * Each rung is two waiting places, a quarter below and a quarter above its delay, and chance picks
 * one: what failed together comes back in two waves. Finer jitter by a TTL for each message would
 * not work: a queue expires messages at its head only, so a herd would leave with its slowest.
 */
const jitter = [0.75, 1.25] as const;

const placesOf = (delayMs: number) => jitter.map((factor) => Math.round(delayMs * factor));

/** Every delay that `nextDelayMs` can give. */
export const retryQueueDelaysMs = (policy: RetryPolicy): number[] => [
  ...new Set(policy.delaysMs.flatMap(placesOf)),
];

/** How long to wait after the `failures`-th failure (1 or more). */
export function nextDelayMs(policy: RetryPolicy, failures: number, random: Random): number {
  const delayMs = policy.delaysMs[Math.min(failures, policy.delaysMs.length) - 1] ?? 0;
  const places = placesOf(delayMs);
  return places[Math.floor(random.next() * places.length)] ?? delayMs;
}
