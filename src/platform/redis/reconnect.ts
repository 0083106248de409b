import type { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { classifyRedisError } from './errors.ts';

/** How long a connection that only reads or listens may stay at a server that was demoted. */
const roleCheckMs = 2_000;
const reconnectPauseMs = 50;
const reconnectPauseMsMax = 1_000;

/**
 * How a connection comes back: after a cut soon, later each time. The same after a server that could not
 * serve, which accepts connections all along, so that attempts which connect count too.
 */
export function createReconnectPolicy() {
  let refused = false;
  let refusals = 0;
  return {
    retryStrategy(attempt: number): number {
      if (refused) refusals++;
      refused = false;
      return Math.min(reconnectPauseMsMax, reconnectPauseMs * (attempt + refusals));
    },
    /** True: connects again. The command is not sent again; its caller decides. */
    reconnectOnError(error: Error): boolean {
      if (classifyRedisError(error.message) !== 'wrong_server') return false;
      refused = true;
      return true;
    },
    resetBackoff(): void {
      refusals = 0;
    },
  };
}

export type ReconnectPolicy = ReturnType<typeof createReconnectPolicy>;

/**
 * Connects again when the server turns out to be a replica. A write would tell, but a connection that only
 * reads, publishes or listens would stay there for good and see nothing of what others write.
 */
export function reconnectWhenDemoted(redis: Redis, log: Log, reconnecting?: ReconnectPolicy): void {
  let timer: ReturnType<typeof setInterval> | undefined;
  redis.on('ready', () => {
    clearInterval(timer);
    timer = setInterval(check, roleCheckMs);
    timer.unref();
  });
  redis.on('close', () => clearInterval(timer));

  async function check(): Promise<void> {
    if (redis.status !== 'ready') return;
    const [role] = await redis.role().catch(() => []);
    if (role === 'master') reconnecting?.resetBackoff();
    // "slave" is the protocol's word.
    if (role !== 'slave' || redis.status !== 'ready') return;
    log.warn({ connection: redis.options.connectionName }, 'redis was demoted, connecting again');
    redis.disconnect(true);
  }
}
