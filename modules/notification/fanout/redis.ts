import { type PersonId, PersonIdSchema } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import { createScript, type Redis } from '@platform/redis/connection.ts';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { NotificationKeys } from '../keys.ts';
import type { Delivery, Fanout, FanoutListener, TransientFrame } from './fanout.ts';
import { createRedisSubscription } from './redis-subscription.ts';
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
const presenceScript = `
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])`;

const isPersonId = TypeCompiler.Compile(PersonIdSchema);

/**
 * Each instance listens on its own channel. The presence entries of a person say which instances to send to; the inbox
 * reads them in its append. So an event costs one message per instance that the person is connected to, not one per
 * running instance.
 */
export function createRedisFanout(deps: RedisFanoutDeps): Fanout {
  const { redis, keys, clock, log, instanceId, presenceTtlMs } = deps;
  const setPresence = createScript(redis, presenceScript);
  let listener: FanoutListener | undefined;
  const subscription = createRedisSubscription({
    redis,
    keys,
    log,
    instanceId,
    onMessage: receive,
    onBroadcast: (topic, text) => listener?.onBroadcast(topic, text),
    onRestored: () => listener?.onMissed(),
  });

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
    async renewPresence(personIds) {
      await Promise.all(personIds.map(addPresence));
    },

    async broadcast(topic, text) {
      await redis.publish(keys.topic(topic), text);
    },
    subscribe: subscription.addTopic,
    unsubscribe: subscription.removeTopic,
    checkSubscription: subscription.check,

    async start(to) {
      listener = to;
      await subscription.start();
    },
    async stop() {
      listener = undefined;
      subscription.stop();
    },
  };

  async function addPresence(personId: PersonId): Promise<void> {
    const untilMs = clock.nowMs() + presenceTtlMs;
    await setPresence([keys.presence(personId)], [untilMs, instanceId, 2 * presenceTtlMs]);
  }

  function receive(message: string) {
    if (message.startsWith(transientFramePrefix)) return receiveTransientFrames(message);
    const delivery = parseDelivery(message);
    if (delivery !== undefined) listener?.onDelivery(delivery);
  }

  function receiveTransientFrames(message: string): void {
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
