import type { Random } from '../random.ts';

/** When and how often an event whose handler failed is redelivered. */
export interface RetryPolicy {
  /** The delay after each failure; the last one is used again until `attemptsMax` is reached. */
  delaysMs: readonly number[];
  /** The most attempts to handle an event. After the last one it becomes a dead letter. */
  attemptsMax: number;
}

/** About five minutes in all: long enough for an operator to fail over a database by hand. */
export const defaultRetryPolicy: RetryPolicy = { delaysMs: [200, 1_000, 5_000, 30_000], attemptsMax: 12 };

/**
 * Each delay has two retry queues, one with a quarter less and one with a quarter more, and the queue is
 * chosen at random: events that failed together are redelivered in two waves. Finer jitter by a TTL per
 * message does not work, because a queue expires messages only at its head: all of them would leave
 * with the slowest.
 */
const jitterFactors = [0.75, 1.25] as const;

const jitteredDelaysMs = (delayMs: number) => jitterFactors.map((factor) => Math.round(delayMs * factor));

/** Every delay that `nextDelayMs` can return. */
export const retryQueueDelaysMs = (policy: RetryPolicy): number[] => [
  ...new Set(policy.delaysMs.flatMap(jitteredDelaysMs)),
];

/** How long to wait after the n-th failure, where `failures` is n (1 or more). */
export function nextDelayMs(policy: RetryPolicy, failures: number, random: Random): number {
  const delayMs = policy.delaysMs[Math.min(failures, policy.delaysMs.length) - 1] ?? 0;
  const choices = jitteredDelaysMs(delayMs);
  return choices[Math.floor(random.next() * choices.length)] ?? delayMs;
}
