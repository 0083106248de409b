import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import { createScript, type Redis } from '@platform/redis/connection.ts';
import { decideLimit, type LimitDecision, type LimitPolicy, type RateLimits } from './limits.ts';
import { createMemoryLimits } from './memory.ts';

// The algorithm of limits.ts for several requests at once, run in Redis. The times are those of the edge.
// ARGV: now, quota, window, requests wanted, requests given back. Returns the arrival time before and the
// number of requests granted.
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

/** A part of a client's quota that this instance may spend by itself. */
interface Lease {
  left: number;
  /** The theoretical arrival time in Redis, where everything leased counts as used. */
  arrivalMs: number;
  untilMs: number;
}

/** A tenth of a quota is leased at a time. */
const leaseDivisor = 10;
/** Of each limiter; about 120 bytes each. */
const leasesMax = 100_000;
/** After Redis failed it is not asked for this long, so that a frozen Redis delays one request and not all. */
const pauseAfterFailureMs = 1_000;

export const leaseSizeOf = ({ quota }: LimitPolicy): number => Math.max(1, Math.floor(quota / leaseDivisor));

/**
 * Limits that all instances share. An instance leases a tenth of a client's quota from Redis for one window and
 * spends it without asking again; what is left goes back with the next lease. Of a driver who sends a position
 * every 4 s, one request in 15 asks Redis. Redis counts everything before it is spent: in any window at most
 * twice the quota passes, as without leases. Each instance can keep one unspent lease from the others meanwhile.
 * A quota below 20 is leased one by one.
 *
 * While Redis is unavailable each instance limits on its own: the limits stay (multiplied by the number of
 * instances at most) and no request fails.
 */
export function createRedisLimits(redis: Redis, prefix: string, clock: Clock, log: Log): RateLimits {
  const createLocalLimiter = createMemoryLimits(clock);
  const leaseFromRedis = createScript(redis, script);
  let pausedUntilMs = Number.NEGATIVE_INFINITY;
  let isUnavailable = false;

  return (name, policy) => {
    const localLimiter = createLocalLimiter(name, policy);
    const leases = new Map<string, Lease>();
    const renewals = new Map<string, Promise<boolean>>();

    return { take: (clientId) => spendLease(clientId) ?? takeWithNewLease(clientId) };

    /** Decides without Redis: spends the lease, or rejects a client whose quota is known to be used up. */
    function spendLease(clientId: string): LimitDecision | undefined {
      const lease = leases.get(clientId);
      if (lease === undefined) return undefined;
      const nowMs = clock.nowMs();
      const unspentMs = (lease.left * policy.windowMs) / policy.quota;
      const decision = decideLimit(nowMs, lease.arrivalMs - unspentMs, policy);
      if (lease.left === 0) return decision.isAllowed ? undefined : decision;
      if (nowMs >= lease.untilMs) return undefined;
      lease.left--;
      return decision;
    }

    async function takeWithNewLease(clientId: string): Promise<LimitDecision> {
      if (clock.nowMs() < pausedUntilMs) return localLimiter.take(clientId);
      let renewal = renewals.get(clientId);
      if (renewal === undefined) {
        renewal = renewLease(clientId).finally(() => renewals.delete(clientId));
        renewals.set(clientId, renewal);
      }
      if (!(await renewal)) return localLimiter.take(clientId);
      return spendLease(clientId) ?? takeWithNewLease(clientId);
    }

    /** Resolves to false when Redis does not answer. */
    async function renewLease(clientId: string): Promise<boolean> {
      const nowMs = clock.nowMs();
      const { quota, windowMs } = policy;
      const left = leases.get(clientId)?.left ?? 0;
      try {
        const key = `${prefix}limit:${name}:${clientId}`;
        const reply = await leaseFromRedis([key], [nowMs, quota, windowMs, leaseSizeOf(policy), left]);
        const [arrivalMs, granted] = Array.isArray(reply) ? reply.map(Number) : [];
        if (arrivalMs === undefined || granted === undefined)
          throw new Error('unexpected reply of the lease script');
        saveLease(clientId, {
          left: granted,
          arrivalMs: arrivalMs + (granted * windowMs) / quota,
          untilMs: nowMs + windowMs,
        });
        isUnavailable = false;
        return true;
      } catch (error) {
        if (!isUnavailable) log.warn({ err: error }, 'redis unavailable, limiting requests per instance');
        isUnavailable = true;
        pausedUntilMs = clock.nowMs() + pauseAfterFailureMs;
        return false;
      }
    }

    /** Past `leasesMax` the lease that was renewed longest ago is dropped. */
    function saveLease(clientId: string, lease: Lease): void {
      leases.delete(clientId);
      leases.set(clientId, lease);
      if (leases.size > leasesMax) leases.delete(leases.keys().next().value ?? '');
    }
  };
}
