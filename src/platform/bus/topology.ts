import type { Channel } from 'amqplib';
import { type RetryPolicy, retryQueueDelaysMs } from './retry-policy.ts';

/** The names of the exchange and the queues of one deployment, on a broker that others may share. */
export interface BrokerNames {
  exchange: string;
  queue(queue: string): string;
  retryQueue(queue: string, delayMs: number): string;
  deadLetterQueue(queue: string): string;
}

export const namespaceDefault = 'uitgo';

/** In the default namespace a queue has the name used in the code: `driver.trips`, `driver.trips.dlq`. */
export function createBrokerNames(namespace: string): BrokerNames {
  const queue = (name: string) => (namespace === namespaceDefault ? name : `${namespace}.${name}`);
  return {
    exchange: `${namespace}.events`,
    queue,
    retryQueue: (name, delayMs) => `${queue(name)}.retry.${delayMs}ms`,
    deadLetterQueue: (name) => `${queue(name)}.dlq`,
  };
}

export interface QueueLimits {
  /** How often the broker delivers a message that consumers never settle, since they crash, before it is dead. */
  deliveryLimit: number;
  /** When the queue is longer, the broker rejects publishes, and events wait in the outboxes of their publishers. */
  queueLengthMax: number;
  /** The same in bytes, because a message holds one event or many. */
  queueBytesMax: number;
}

// Reading dead letters without taking them counts as deliveries; RabbitMQ 4 would drop them after 20.
const deadDeliveryLimit = 1_000_000;

// A quorum queue that dead-letters without loss must reject publishes when it is full.
const losslessArguments = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' };
const quorumArguments = { 'x-queue-type': 'quorum' };

export async function declareExchange(channel: Channel, names: BrokerNames): Promise<void> {
  await channel.assertExchange(names.exchange, 'topic', { durable: true });
}

/**
 * Declares a queue, its dead-letter queue, and one retry queue for each delay, whose messages expire back
 * into the queue. The delays are part of the names of the retry queues, so that another policy can be
 * deployed while the old retry queues drain. The bindings are made last: nothing arrives before
 * everything is declared.
 */
export async function declareQueue(
  channel: Channel,
  names: BrokerNames,
  queue: { name: string; types: readonly string[]; limits: QueueLimits; retry: RetryPolicy },
): Promise<void> {
  const { limits, retry } = queue;
  const name = names.queue(queue.name);
  const deadLetterQueue = names.deadLetterQueue(queue.name);
  const deadLetterTo = (target: string) => ({
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': target,
    ...losslessArguments,
  });
  await declareExchange(channel, names);
  await channel.assertQueue(deadLetterQueue, {
    durable: true,
    arguments: { ...quorumArguments, 'x-delivery-limit': deadDeliveryLimit },
  });
  await channel.assertQueue(name, {
    durable: true,
    arguments: {
      ...quorumArguments,
      ...deadLetterTo(deadLetterQueue),
      'x-delivery-limit': limits.deliveryLimit,
      'x-max-length': limits.queueLengthMax,
      'x-max-length-bytes': limits.queueBytesMax,
    },
  });
  for (const delayMs of retryQueueDelaysMs(retry)) {
    await channel.assertQueue(names.retryQueue(queue.name, delayMs), {
      durable: true,
      arguments: { ...quorumArguments, ...deadLetterTo(name), 'x-message-ttl': delayMs },
    });
  }
  for (const type of queue.types) await channel.bindQueue(name, names.exchange, type);
}

/** The names of all queues that `declareQueue` declares. */
export const queueNamesOf = (names: BrokerNames, queue: string, retry: RetryPolicy): string[] => [
  names.queue(queue),
  names.deadLetterQueue(queue),
  ...retryQueueDelaysMs(retry).map((delayMs) => names.retryQueue(queue, delayMs)),
];
