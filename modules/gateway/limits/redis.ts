import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import { createScript, type Redis } from '@platform/redis/connection.ts';
import { decideLimit, type LimitDecision, type LimitPolicy, type RateLimits } from './limits.ts';
import { createMemoryLimits } from './memory.ts';

// The arithmetic of limits.ts for several at once, where the key lives. Times are the edge's: Redis only
// keeps them. ARGV now, quota, window, how many are wanted, how many are given back; → the arrival
// before, how many were granted.
const script = `
  local now, quota, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
  local wanted, back = tonumber(ARGV[4]), tonumber(ARGV[5])
  local spacing = window / quota
  local arrival = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now) - back * spacing)
  local free = math.floor((window - (arrival - now)) / spacing + 0.001)
  local granted = math.max(0, math.min(wanted, free))
  if granted + back > 0 then
    local next = arrival + granted * spacing
    redis.call('SET', KEYS[1], string.format('%.3f', next), 'PX', math.max(1, math.ceil(next - now)))
  end
  return { string.format('%.3f', arrival), granted }`;

/** A part of a quota that this edge may give out by itself. */
interface Lease {
  left: number;
  /** What Redis keeps of the key: all that was leased counts as used there. */
  arrivalMs: number;
  untilMs: number;
}

/** One in so many of a quota is leased at a time. */
const leaseDivisor = 10;
const leasesMax = 200_000;
/** Redis did not answer: for so long it is not asked, so that a frozen one holds up one request, not all. */
const awayMs = 1_000;

export const leaseSizeOf = ({ quota }: LimitPolicy): number => Math.max(1, Math.floor(quota / leaseDivisor));

/**
 * Limits shared by all instances. An edge leases a tenth of the quota from Redis and gives it out by
 * itself, for one window; what is left then goes back with the next lease. So most requests cost no
 * question: of a driver who sends a position every 4 s, one in 15. Nothing is ever given out that Redis
 * did not count: in any window at most twice the quota, as without leases, and what the edges leased
 * before it. What others may be short of meanwhile is one unspent lease an edge. A quota below 20 is
 * asked for one by one.
 *
 * While Redis is away each instance limits on its own, so the limits stay (at most as many times as
 * there are instances) and no request fails for it.
 */
export function createRedisLimits(redis: Redis, prefix: string, clock: Clock, log: Log): RateLimits {
  const alone = createMemoryLimits(clock);
  const lease = createScript(redis, script);
  const leases = new Map<string, Lease>();
  const asking = new Map<string, Promise<boolean>>();
  let awayUntilMs = Number.NEGATIVE_INFINITY;
  let away = false;

  return { take: (key, policy) => spend(key, policy) ?? ask(key, policy) };

  /** What can be said without Redis: spends of the lease, or refuses what is known to be used up. */
  function spend(key: string, policy: LimitPolicy): LimitDecision | undefined {
    const known = leases.get(key);
    if (known === undefined) return undefined;
    const nowMs = clock.nowMs();
    const unspentMs = (known.left * policy.windowMs) / policy.quota;
    const { arrivalMs: _, ...decision } = decideLimit(nowMs, known.arrivalMs - unspentMs, policy);
    if (known.left === 0) return decision.isAllowed ? undefined : decision;
    if (nowMs >= known.untilMs) return undefined;
    known.left--;
    return decision;
  }

  async function ask(key: string, policy: LimitPolicy): Promise<LimitDecision> {
    if (clock.nowMs() < awayUntilMs) return alone.take(key, policy);
    let answering = asking.get(key);
    if (answering === undefined) {
      answering = renew(key, policy).finally(() => asking.delete(key));
      asking.set(key, answering);
    }
    if (!(await answering)) return alone.take(key, policy);
    return spend(key, policy) ?? ask(key, policy);
  }

  /** Gets a new lease; false when Redis does not answer. */
  async function renew(key: string, policy: LimitPolicy): Promise<boolean> {
    const nowMs = clock.nowMs();
    const { quota, windowMs } = policy;
    const left = leases.get(key)?.left ?? 0;
    try {
      const reply = await lease(
        [`${prefix}limit:${key}`],
        [nowMs, quota, windowMs, leaseSizeOf(policy), left],
      );
      const [arrival, granted] = Array.isArray(reply) ? reply.map(Number) : [];
      if (arrival === undefined || granted === undefined) throw new Error('not an answer of the script');
      keep(key, {
        left: granted,
        arrivalMs: arrival + (granted * windowMs) / quota,
        untilMs: nowMs + windowMs,
      });
      away = false;
      return true;
    } catch (error) {
      if (!away) log.warn({ err: error }, 'limits: Redis is away, each edge limits on its own');
      away = true;
      awayUntilMs = clock.nowMs() + awayMs;
      return false;
    }
  }

  /** Bounded: those that were renewed longest ago are forgotten, and what was left of them. */
  function keep(key: string, one: Lease): void {
    leases.delete(key);
    leases.set(key, one);
    if (leases.size > leasesMax) leases.delete(leases.keys().next().value ?? '');
  }
}
