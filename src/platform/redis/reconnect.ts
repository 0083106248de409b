import type { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { classifyRedisError } from './errors.ts';

/** How often connections check that their server is still the primary. */
const roleCheckMs = 2_000;
const reconnectPauseMs = 50;
const reconnectPauseMsMax = 1_000;

/**
 * Reconnects soon after a disconnect, and later after each further failure. A server that cannot serve still accepts
 * connections, so its rejections count as failures too.
 */
export function createReconnectPolicy() {
  let wasRejected = false;
  let rejections = 0;
  return {
    retryStrategy(attempt: number): number {
      if (wasRejected) rejections++;
      wasRejected = false;
      return Math.min(reconnectPauseMsMax, reconnectPauseMs * (attempt + rejections));
    },
    /** True makes ioredis reconnect. The command is not sent again: that is up to its caller. */
    reconnectOnError(error: Error): boolean {
      if (classifyRedisError(error.message) !== 'wrong_server') return false;
      wasRejected = true;
      return true;
    },
    resetBackoff(): void {
      rejections = 0;
    },
  };
}

export type ReconnectPolicy = ReturnType<typeof createReconnectPolicy>;

/**
 * Reconnects when the server turns out to be a replica. A write would fail there, but a connection that only reads,
 * publishes or subscribes would stay connected and never see new data.
 */
export function reconnectWhenDemoted(redis: Redis, log: Log, policy?: ReconnectPolicy): void {
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
    if (role === 'master') policy?.resetBackoff();
    // "slave" is the word of the protocol.
    if (role !== 'slave' || redis.status !== 'ready') return;
    log.warn({ connection: redis.options.connectionName }, 'redis server was demoted, policy');
    redis.disconnect(true);
  }
}
