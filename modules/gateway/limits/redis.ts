import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import { createScript, type Redis } from '@platform/redis.ts';
import { decide, type RateLimits } from './limits.ts';
import { createMemoryLimits } from './memory.ts';

// The arithmetic of limits.ts, where the key lives. Times are the edge's: Redis only keeps them.
const script = `
  local now, quota, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
  local arrival = tonumber(redis.call('GET', KEYS[1]) or now)
  local spacing = window / quota
  local next = math.max(now, arrival) + spacing
  if next - now - window <= spacing / 1000 then
    redis.call('SET', KEYS[1], string.format('%.3f', next), 'PX', math.max(1, math.ceil(next - now)))
  end
  return string.format('%.3f', arrival)`;

/**
 * Limits shared by all instances. While Redis is away each instance limits on its own, so the limits
 * stay (at most as many times as there are instances) and no request fails for it.
 */
export function createRedisLimits(redis: Redis, prefix: string, clock: Clock, log: Log): RateLimits {
  const alone = createMemoryLimits(clock);
  const take = createScript(redis, script);
  let away = false;

  return {
    async take(key, policy) {
      const nowMs = clock.nowMs();
      try {
        const arrival = await take([`${prefix}limit:${key}`], [nowMs, policy.quota, policy.windowMs]);
        away = false;
        const { arrivalMs: _, ...decision } = decide(nowMs, Number(arrival), policy);
        return decision;
      } catch (error) {
        if (!away) log.warn({ err: error }, 'limits: Redis is away, each edge limits on its own');
        away = true;
        return alone.take(key, policy);
      }
    },
  };
}
