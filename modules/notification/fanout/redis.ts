import { type PersonId, PersonIdSchema } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import { createScript, type Redis, reconnectWhenDemoted, waitForRedis } from '@platform/redis/connection.ts';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { NotificationKeys } from '../keys.ts';
import type { Delivery, Fanout, FanoutListener, TransientFrame } from './fanout.ts';
import { transientFramePrefix } from './redis-transient-frames.ts';

export interface RedisFanoutDeps {
  redis: Redis;
  keys: NotificationKeys;
  clock: Clock;
  log: Log;
  /** Unique to this process; never reused. */
  instanceId: string;
  /** How long presence lasts that is not renewed. */
  presenceTtlMs: number;
}

// One command where MULTI needs four: an instance renews the presence of all its people every few seconds.
const holdScript = `
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])`;

const isPersonId = TypeCompiler.Compile(PersonIdSchema);
const startTimeoutMs = 2_000;

/**
 * Each instance listens on its own channel. The presence entries of a person say which instances to send to; the inbox
 * reads them in its append. So an event costs one message per instance that the person is connected to, not one per running instance.
 *
 * This adapter, not ioredis, subscribes again after each reconnect, so that `onMissed` is called once the
 * subscription is restored and not before. An echo detects a connection that is dead but not closed: each check
 * publishes one to the own channel and expects the previous one to have arrived. A demoted server still accepts
 * subscriptions, so the subscriber also checks the server's role.
 */
export function createRedisFanout(options: RedisFanoutDeps): Fanout {
  const { redis, keys, clock, log, instanceId, presenceTtlMs } = options;
  const channel = keys.instance(instanceId);
  const holdPerson = createScript(redis, holdScript);
  let subscriber: Redis | undefined;
  let listener: FanoutListener | undefined;
  const topicByChannel = new Map<string, Topic>();
  let isSubscribed = false;
  let lastEchoSent = 0;
  let lastEchoReceived = 0;

  return {
    async publish(delivery, instanceIds) {
      // People connected to this instance are served directly, without Redis.
      listener?.onDelivery(delivery);
      const { personId, seq, body } = delivery;
      const message = `${personId} ${seq} ${body}`;
      const others = instanceIds.filter((other) => other !== instanceId);
      await Promise.all(others.map((other) => redis.publish(keys.instance(other), message)));
    },

    addPresence,
    async removePresence(personId) {
      await redis.zrem(keys.presence(personId), instanceId);
    },

    async broadcast(topic, text) {
      await redis.publish(keys.topic(topic), text);
    },
    async subscribe(topic) {
      topicByChannel.set(keys.topic(topic), topic);
      // Without an active subscription, the next one includes this topic.
      if (isSubscribed) await subscriber?.subscribe(keys.topic(topic));
    },
    async unsubscribe(topic) {
      topicByChannel.delete(keys.topic(topic));
      if (isSubscribed) await subscriber?.unsubscribe(keys.topic(topic));
    },
    async renewPresence(personIds) {
      await Promise.all(personIds.map(addPresence));
    },

    async checkSubscription() {
      if (!isSubscribed) return;
      if (lastEchoSent > lastEchoReceived) {
        log.warn({ instanceId }, 'fan-out subscription is dead, reconnecting');
        subscriber?.disconnect(true);
        return;
      }
      const echo = lastEchoReceived + 1;
      await redis.publish(channel, `echo ${echo}`);
      lastEchoSent = echo;
    },

    async start(to) {
      listener = to;
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

    async stop() {
      listener = undefined;
      subscriber?.disconnect();
      subscriber = undefined;
    },
  };

  async function addPresence(personId: PersonId): Promise<void> {
    const untilMs = clock.nowMs() + presenceTtlMs;
    await holdPerson([keys.presence(personId)], [untilMs, instanceId, 2 * presenceTtlMs]);
  }

  async function subscribe(connection: Redis): Promise<void> {
    await connection.subscribe(channel, ...topicByChannel.keys());
    lastEchoSent = lastEchoReceived;
    isSubscribed = true;
  }

  async function resubscribe(connection: Redis): Promise<void> {
    try {
      await subscribe(connection);
      listener?.onMissed();
    } catch (error) {
      log.warn({ err: error }, 'fan-out subscription failed, reconnecting');
      if (subscriber === connection) connection.disconnect(true);
    }
  }

  function receive(channelName: string, message: string) {
    const topic = topicByChannel.get(channelName);
    if (topic !== undefined) return listener?.onBroadcast(topic, message);
    if (message.startsWith('echo ')) {
      lastEchoReceived = Number(message.slice(5));
      return;
    }
    if (message.startsWith(transientFramePrefix)) return receiveTransientFrames(message);
    const delivery = parseDelivery(message);
    if (delivery !== undefined) listener?.onDelivery(delivery);
  }

  function receiveTransientFrames(message: string) {
    for (const line of message.split('\n')) {
      const frame = parseTransientFrame(line);
      if (frame !== undefined) listener?.onTransientFrame(frame);
    }
  }
}

function parseTransientFrame(line: string): TransientFrame | undefined {
  const rest = line.slice(transientFramePrefix.length);
  const [personId = ''] = rest.split(' ', 1);
  return isPersonId.Check(personId) ? { personId, text: rest.slice(personId.length + 1) } : undefined;
}

/** Parses `<personId> <seq> <body>`. The body is JSON already and is not encoded again. */
function parseDelivery(message: string): Delivery | undefined {
  const [personId = '', seq = ''] = message.split(' ', 2);
  if (!isPersonId.Check(personId)) return undefined;
  return { personId, seq: Number(seq), body: message.slice(personId.length + seq.length + 2) };
}
