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

/** The part of a WebSocket that manages topic subscriptions. They end when the socket closes. */
export interface TopicSubscriber {
  subscribe(topic: string): unknown;
  unsubscribe(topic: string): unknown;
}

/** Topic subscriptions of the sockets of this instance, beside the events of their person. */
export interface LiveTopics {
  attach(sockets: SocketTopics): void;
  subscribe(connection: Connection, socket: TopicSubscriber, topic: Topic): Promise<void>;
  unsubscribe(connection: Connection, socket: TopicSubscriber, topic: Topic): void;
  broadcast(topic: Topic, text: string): void;
  /** Frames may have been lost: all subscribers receive `missed`. */
  onMissed(): void;
  /** Unsubscribes this instance from topics without subscribers. */
  dropUnusedTopics(): Promise<void>;
}

/**
 * Frames that arrive within this time are sent together. Bun then writes them to each socket in one call, and these
 * writes are the main cost of a topic with thousands of subscribers.
 */
export const topicBatchMs = 5;

const rolesByTopic: Record<Topic, readonly Role[]> = { trips: ['ops'] };
const topics: readonly Topic[] = ['trips'];

/** An instance is subscribed to a topic only while one of its sockets is. Bun keeps the subscriber lists and writes to them. */
export function createLiveTopics({ fanout, clock, log, metrics }: LiveTopicsDeps): LiveTopics {
  const activeTopics = new Set<Topic>();
  let sockets: SocketTopics | undefined;
  let batch: { topic: Topic; text: string }[] = [];
  metrics.gauge('notification_topic_subscribers', () =>
    topics.reduce((sum, topic) => sum + subscriberCount(topic), 0),
  );

  return {
    attach(to) {
      sockets = to;
    },

    async subscribe(connection, socket, topic) {
      if (!rolesByTopic[topic].includes(connection.claims.role))
        return connection.rejectFrame('realtime.role_forbidden');
      // Subscribes the socket before the await, so that a concurrent check does not drop the topic.
      socket.subscribe(topic);
      try {
        if (!activeTopics.has(topic)) await fanout.subscribe(topic);
        activeTopics.add(topic);
        connection.sendTransient(encodeFrame({ type: 'subscribed', topic }));
      } catch (error) {
        log.warn({ topic, err: error }, 'failed to subscribe to a topic');
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
      for (const topic of activeTopics) broadcast(topic, encodeFrame({ type: 'missed', topic }));
    },

    async dropUnusedTopics() {
      for (const topic of activeTopics) {
        if (subscriberCount(topic) > 0) continue;
        activeTopics.delete(topic);
        await fanout.unsubscribe(topic);
      }
    },
  };

  function broadcast(topic: Topic, text: string) {
    batch.push({ topic, text });
    if (batch.length === 1) void clock.sleep(topicBatchMs).then(send);
  }

  function send() {
    const frames = batch;
    batch = [];
    for (const { topic, text } of frames) sockets?.publish(topic, text);
  }

  function subscriberCount(topic: Topic): number {
    return sockets?.subscriberCount(topic) ?? 0;
  }
}
