import type { Clock } from '@platform/clock.ts';
import { decideLimit, type RateLimits } from './limits.ts';

const keysMax = 200_000;

/** Limits of one process. Bounded: past `keysMax` the keys that were used longest ago are forgotten. */
export function createMemoryLimits(clock: Clock): RateLimits {
  const arrivalByKey = new Map<string, number>();

  return {
    take(key, policy) {
      const nowMs = clock.nowMs();
      const { arrivalMs, ...decision } = decideLimit(nowMs, arrivalByKey.get(key) ?? nowMs, policy);
      arrivalByKey.delete(key);
      arrivalByKey.set(key, arrivalMs);
      if (arrivalByKey.size > keysMax) arrivalByKey.delete(arrivalByKey.keys().next().value ?? '');
      return decision;
    },
  };
}
