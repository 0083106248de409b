import type { Role } from '@contracts/people.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { SocketTopics } from '@platform/http/server.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Fanout } from '../fanout/fanout.ts';
import type { Connection } from './connection.ts';
import { encodeFrame } from './frames.ts';

export interface LiveTopicsDeps {
  fanout: Fanout;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** The subscriptions of a socket; Bun's own is one. They end with it. */
export interface TopicSubscriber {
  subscribe(topic: string): unknown;
  unsubscribe(topic: string): unknown;
}

/** What the sockets of this instance listen to beside their person's events. */
export interface LiveTopics {
  attach(sockets: SocketTopics): void;
  subscribe(connection: Connection, socket: TopicSubscriber, topic: Topic): Promise<void>;
  unsubscribe(connection: Connection, socket: TopicSubscriber, topic: Topic): void;
  broadcast(topic: Topic, text: string): void;
  /** Frames may have been lost: who listens is told. */
  onMissed(): void;
  /** Stops following what nobody here listens to any more. */
  dropUnusedTopics(): Promise<void>;
}

/**
 * Frames that come within so many ms go out together: Bun then writes them to each socket at once,
 * which is what a topic with thousands of listeners costs.
 */
export const topicBatchMs = 5;

const rolesOf: Record<Topic, readonly Role[]> = { trips: ['ops'] };
const topics: readonly Topic[] = ['trips'];

/** A topic comes to this instance only while somebody here listens; Bun keeps who that is, and writes to them. */
export function createLiveTopics({ fanout, clock, log, metrics }: LiveTopicsDeps): LiveTopics {
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
      if (!rolesOf[topic].includes(connection.claims.role))
        return connection.rejectFrame('realtime.role_forbidden');
      // Before the wait, so that a check does not take the topic away meanwhile.
      socket.subscribe(topic);
      try {
        if (!followed.has(topic)) await fanout.subscribe(topic);
        followed.add(topic);
        connection.sendTransient(encodeFrame({ type: 'subscribed', topic }));
      } catch (error) {
        log.warn({ topic, err: error }, 'a topic can not be followed');
        socket.unsubscribe(topic);
        connection.sendError('service.unavailable');
      }
    },

    unsubscribe(connection, socket, topic) {
      socket.unsubscribe(topic);
      connection.sendTransient(encodeFrame({ type: 'unsubscribed', topic }));
    },

    broadcast,
    onMissed() {
      for (const topic of followed) broadcast(topic, encodeFrame({ type: 'missed', topic }));
    },

    async dropUnusedTopics() {
      for (const topic of followed) {
        if (listeners(topic) > 0) continue;
        followed.delete(topic);
        await fanout.unsubscribe(topic);
      }
    },
  };

  function broadcast(topic: Topic, text: string) {
    gathered.push({ topic, text });
    if (gathered.length === 1) void clock.sleep(topicBatchMs).then(send);
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
