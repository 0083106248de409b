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
  /** Of this process, never used before. */
  instanceId: string;
  /** How long a hold counts that is not renewed. */
  presenceTtlMs: number;
}

// One command for what MULTI takes four for: an instance renews all its people every few seconds.
const holdScript = `
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])`;

const isPersonId = TypeCompiler.Compile(PersonIdSchema);
const startTimeoutMs = 2_000;

/**
 * Each instance listens on a channel of its own; a person's presence entries say which ones to tell
 * (the inbox reads them as it appends). An event so costs one message for each instance that holds the person, not one for each that runs.
 *
 * The subscription is made anew by us after each reconnect (not by ioredis), so that `missed` is
 * called when it stands again and not before. A connection that is dead without having closed is
 * found by an echo: each check publishes one to our own channel and looks for the one before. A server that
 * was demoted still accepts subscriptions, so the subscriber looks at its role too.
 */
export function createRedisFanout(options: RedisFanoutDeps): Fanout {
  const { redis, keys, clock, log, instanceId, presenceTtlMs } = options;
  const channel = keys.instance(instanceId);
  const holdPerson = createScript(redis, holdScript);
  let subscriber: Redis | undefined;
  let listener: FanoutListener | undefined;
  const topicOf = new Map<string, Topic>();
  let subscribed = false;
  let echoSent = 0;
  let echoHeard = 0;

  return {
    async publish(delivery, holders) {
      // Our own people first: they need no way through Redis.
      listener?.onDelivery(delivery);
      const { personId, seq, body } = delivery;
      const message = `${personId} ${seq} ${body}`;
      const others = holders.filter((holder) => holder !== instanceId);
      await Promise.all(others.map((holder) => redis.publish(keys.instance(holder), message)));
    },

    addPresence,
    async removePresence(personId) {
      await redis.zrem(keys.presence(personId), instanceId);
    },

    async broadcast(topic, text) {
      await redis.publish(keys.topic(topic), text);
    },
    async subscribe(topic) {
      topicOf.set(keys.topic(topic), topic);
      // Not listening yet, or not any more: the subscription that is made then takes it along.
      if (subscribed) await subscriber?.subscribe(keys.topic(topic));
    },
    async unsubscribe(topic) {
      topicOf.delete(keys.topic(topic));
      if (subscribed) await subscriber?.unsubscribe(keys.topic(topic));
    },
    async renewPresence(personIds) {
      await Promise.all(personIds.map(addPresence));
    },

    async checkSubscription() {
      if (!subscribed) return;
      if (echoSent > echoHeard) {
        log.warn({ instanceId }, 'fan-out: the subscription is dead; connecting again');
        subscriber?.disconnect(true);
        return;
      }
      const echo = echoHeard + 1;
      await redis.publish(channel, `echo ${echo}`);
      echoSent = echo;
    },

    async start(to) {
      listener = to;
      subscriber?.disconnect();
      const own = redis.duplicate({ autoResubscribe: false, connectionName: 'uit-go:fanout' });
      subscriber = own;
      reconnectWhenDemoted(own, log);
      own.on('error', (error: Error) => log.warn({ err: error }, 'redis connection for fan-out'));
      own.on('message', receive);
      own.on('close', () => {
        // A late word from one that was replaced says nothing of its successor.
        if (subscriber === own) subscribed = false;
      });
      try {
        await waitForRedis(own, startTimeoutMs);
        await subscribe(own);
      } catch (error) {
        own.disconnect();
        throw error;
      }
      own.on('ready', () => subscribeAgain(own));
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

  async function subscribe(own: Redis): Promise<void> {
    await own.subscribe(channel, ...topicOf.keys());
    echoSent = echoHeard;
    subscribed = true;
  }

  async function subscribeAgain(own: Redis): Promise<void> {
    try {
      await subscribe(own);
      listener?.onMissed();
    } catch (error) {
      log.warn({ err: error }, 'fan-out: the subscription failed; connecting again');
      if (subscriber === own) own.disconnect(true);
    }
  }

  function receive(from: string, message: string) {
    const topic = topicOf.get(from);
    if (topic !== undefined) return listener?.onBroadcast(topic, message);
    if (message.startsWith('echo ')) {
      echoHeard = Number(message.slice(5));
      return;
    }
    if (message.startsWith(transientFramePrefix)) return receiveSignals(message);
    const delivery = readMessage(message);
    if (delivery !== undefined) listener?.onDelivery(delivery);
  }

  function receiveSignals(message: string) {
    for (const line of message.split('\n')) {
      const signal = readSignal(line);
      if (signal !== undefined) listener?.onTransientFrame(signal);
    }
  }
}

function readSignal(line: string): TransientFrame | undefined {
  const rest = line.slice(transientFramePrefix.length);
  const [personId = ''] = rest.split(' ', 1);
  return isPersonId.Check(personId) ? { personId, text: rest.slice(personId.length + 1) } : undefined;
}

/** `<personId> <seq> <body>`: the body is JSON already and is not wrapped in more of it. */
function readMessage(message: string): Delivery | undefined {
  const [personId = '', seq = ''] = message.split(' ', 2);
  if (!isPersonId.Check(personId)) return undefined;
  return { personId, seq: Number(seq), body: message.slice(personId.length + seq.length + 2) };
}
