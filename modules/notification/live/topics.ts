import type { Role } from '@contracts/people.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { SocketTopics } from '@platform/http/server.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Fanout } from '../fanout/fanout.ts';
import { frameText } from '../frames.ts';
import type { Connection } from './connection.ts';

export interface LiveTopicsOptions {
  fanout: Fanout;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** The subscriptions of a socket; Bun's own is one. They end with it. */
export interface Subscriber {
  subscribe(topic: string): unknown;
  unsubscribe(topic: string): unknown;
}

/** What the sockets of this instance listen to beside their person's events. */
export interface LiveTopics {
  attach(sockets: SocketTopics): void;
  subscribe(connection: Connection, socket: Subscriber, topic: Topic): Promise<void>;
  unsubscribe(connection: Connection, socket: Subscriber, topic: Topic): void;
  broadcast(topic: Topic, text: string): void;
  /** Frames may have been lost: who listens is told. */
  missed(): void;
  /** Stops following what nobody here listens to any more. */
  check(): Promise<void>;
}

/**
 * Frames that come within so many ms go out together: Bun then writes them to each socket at once,
 * which is what a topic with thousands of listeners costs.
 */
export const gatherMs = 5;

const rolesOf: Record<Topic, readonly Role[]> = { trips: ['ops'] };
const topics: readonly Topic[] = ['trips'];

/** A topic comes to this instance only while somebody here listens; Bun keeps who that is, and writes to them. */
export function createLiveTopics({ fanout, clock, log, metrics }: LiveTopicsOptions): LiveTopics {
  const followed = new Set<Topic>();
  let sockets: SocketTopics | undefined;
  let gathered: { topic: Topic; text: string }[] = [];
  metrics.gauge('notification_topic_subscribers', () =>
    topics.reduce((sum, topic) => sum + listeners(topic), 0),
  );

  return {
    attach(to) {
      sockets = to;
    },

    async subscribe(connection, socket, topic) {
      if (!rolesOf[topic].includes(connection.holder.role))
        return connection.refuse('realtime.role_forbidden');
      // Before the wait, so that a check does not take the topic away meanwhile.
      socket.subscribe(topic);
      try {
        if (!followed.has(topic)) await fanout.follow(topic);
        followed.add(topic);
        connection.say(frameText({ type: 'subscribed', topic }));
      } catch (error) {
        log.warn({ topic, err: error }, 'a topic can not be followed');
        socket.unsubscribe(topic);
        connection.tell('service.unavailable');
      }
    },

    unsubscribe(connection, socket, topic) {
      socket.unsubscribe(topic);
      connection.say(frameText({ type: 'unsubscribed', topic }));
    },

    broadcast,
    missed() {
      for (const topic of followed) broadcast(topic, frameText({ type: 'missed', topic }));
    },

    async check() {
      for (const topic of followed) {
        if (listeners(topic) > 0) continue;
        followed.delete(topic);
        await fanout.unfollow(topic);
      }
    },
  };

  function broadcast(topic: Topic, text: string) {
    gathered.push({ topic, text });
    if (gathered.length === 1) void clock.sleep(gatherMs).then(send);
  }

  function send() {
    const frames = gathered;
    gathered = [];
    for (const { topic, text } of frames) sockets?.publish(topic, text);
  }

  function listeners(topic: Topic): number {
    return sockets?.subscriberCount(topic) ?? 0;
  }
}
