import type { Topic } from '@contracts/realtime.ts';
import type { Log } from '@platform/log.ts';
import { type Redis, reconnectWhenDemoted, waitForRedis } from '@platform/redis/connection.ts';
import type { NotificationKeys } from '../keys.ts';

export interface RedisSubscriptionDeps {
  redis: Redis;
  keys: NotificationKeys;
  log: Log;
  instanceId: string;
  /** Called with a message on the channel of this instance. */
  onMessage(message: string): void;
  onBroadcast(topic: Topic, text: string): void;
  /** Called when the subscription is restored after a lost connection, and not before. */
  onRestored(): void;
}

/** The Redis subscription of one instance: its own channel and the channels of its topics. */
export interface RedisSubscription {
  /** Rejects while the server is unavailable. */
  start(): Promise<void>;
  stop(): void;
  addTopic(topic: Topic): Promise<void>;
  removeTopic(topic: Topic): Promise<void>;
  /** Reconnects if the subscription is dead. */
  check(): Promise<void>;
}

const startTimeoutMs = 2_000;
const echoPrefix = 'echo ';

/**
 *   stopped ──start──▶ subscribed ──connection lost──▶ reconnecting ──ready──▶ subscribed (onRestored)
 *
 * This adapter, not ioredis, subscribes again after each reconnect, so that it knows when the subscription is restored.
 * An echo detects a connection that is dead but not closed: each check publishes one to the own channel and expects the
 * previous one to have arrived. A demoted server still accepts subscriptions, so the subscriber also checks the
 * server's role.
 */
export function createRedisSubscription(deps: RedisSubscriptionDeps): RedisSubscription {
  const { redis, keys, log, instanceId } = deps;
  const channel = keys.instance(instanceId);
  const topicByChannel = new Map<string, Topic>();
  let subscriber: Redis | undefined;
  let isSubscribed = false;
  let lastEchoSent = 0;
  let lastEchoReceived = 0;

  return {
    async start() {
      subscriber?.disconnect();
      const connection = redis.duplicate({ autoResubscribe: false, connectionName: 'uit-go:fanout' });
      subscriber = connection;
      reconnectWhenDemoted(connection, log);
      connection.on('error', (error: Error) =>
        log.warn({ err: error }, 'redis connection of the fan-out failed'),
      );
      connection.on('message', receive);
      connection.on('close', () => {
        // A late close event of a replaced subscriber says nothing about its successor.
        if (subscriber === connection) isSubscribed = false;
      });
      try {
        await waitForRedis(connection, startTimeoutMs);
        await subscribe(connection);
      } catch (error) {
        connection.disconnect();
        throw error;
      }
      connection.on('ready', () => resubscribe(connection));
    },

    stop() {
      subscriber?.disconnect();
      subscriber = undefined;
    },

    async addTopic(topic) {
      topicByChannel.set(keys.topic(topic), topic);
      // Without an active subscription, the next one includes this topic.
      if (isSubscribed) await subscriber?.subscribe(keys.topic(topic));
    },
    async removeTopic(topic) {
      topicByChannel.delete(keys.topic(topic));
      if (isSubscribed) await subscriber?.unsubscribe(keys.topic(topic));
    },

    async check() {
      if (!isSubscribed) return;
      if (lastEchoSent > lastEchoReceived) {
        log.warn({ instanceId }, 'fan-out subscription is dead, reconnecting');
        subscriber?.disconnect(true);
        return;
      }
      const echo = lastEchoReceived + 1;
      await redis.publish(channel, `${echoPrefix}${echo}`);
      lastEchoSent = echo;
    },
  };

  async function subscribe(connection: Redis): Promise<void> {
    await connection.subscribe(channel, ...topicByChannel.keys());
    lastEchoSent = lastEchoReceived;
    isSubscribed = true;
  }

  async function resubscribe(connection: Redis): Promise<void> {
    try {
      await subscribe(connection);
      deps.onRestored();
    } catch (error) {
      log.warn({ err: error }, 'fan-out subscription failed, reconnecting');
      if (subscriber === connection) connection.disconnect(true);
    }
  }

  function receive(channelName: string, message: string): void {
    const topic = topicByChannel.get(channelName);
    if (topic !== undefined) deps.onBroadcast(topic, message);
    else if (message.startsWith(echoPrefix)) lastEchoReceived = Number(message.slice(echoPrefix.length));
    else deps.onMessage(message);
  }
}
