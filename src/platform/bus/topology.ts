import type { Channel } from 'amqplib';
import { type RetryPolicy, retryQueueDelaysMs } from './retry-policy.ts';

/** The names of a deployment's exchange and queues on a broker that it may share. */
export interface BrokerNames {
  exchange: string;
  queue(queue: string): string;
  retryQueue(queue: string, delayMs: number): string;
  deadLetterQueue(queue: string): string;
}

export const namespaceDefault = 'uitgo';

/** In the default namespace a queue is called as the code calls it: `driver.trips`, `driver.trips.dlq`. */
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
  retry: RetryPolicy;
  /** Handed out so often without being settled, by consumers that died of it, before it is dead. */
  deliveryLimit: number;
  /** Beyond it the broker refuses, so the publishers' outboxes absorb. */
  queueLengthMax: number;
  /** The same in bytes: a message holds one event or many. */
  queueBytesMax: number;
}

// Reading dead letters without taking them counts as deliveries; RabbitMQ 4 would drop them after 20.
const deadDeliveryLimit = 1_000_000;

// A quorum queue that must not lose what it dead-letters has to refuse publishes when it is full.
const safely = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' };
const quorum = { 'x-queue-type': 'quorum' };

export async function declareExchange(channel: Channel, names: BrokerNames): Promise<void> {
  await channel.assertExchange(names.exchange, 'topic', { durable: true });
}

/**
 * The queue with its dead letters and its ladder: one waiting queue for each delay, whose messages
 * expire back into the queue. Delays are part of the names, so that another ladder can be deployed
 * while the old one drains. The bindings come last: nothing arrives before its place is complete.
 */
export async function declareQueue(
  channel: Channel,
  names: BrokerNames,
  queue: string,
  types: readonly string[],
  limits: QueueLimits,
): Promise<void> {
  const name = names.queue(queue);
  const deadLetterTo = (target: string) => ({
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': target,
    ...safely,
  });
  await declareExchange(channel, names);
  await channel.assertQueue(names.deadLetterQueue(queue), {
    durable: true,
    arguments: { ...quorum, 'x-delivery-limit': deadDeliveryLimit },
  });
  await channel.assertQueue(name, {
    durable: true,
    arguments: {
      ...quorum,
      ...deadLetterTo(names.deadLetterQueue(queue)),
      'x-delivery-limit': limits.deliveryLimit,
      'x-max-length': limits.queueLengthMax,
      'x-max-length-bytes': limits.queueBytesMax,
    },
  });
  for (const delayMs of retryQueueDelaysMs(limits.retry)) {
    await channel.assertQueue(names.retryQueue(queue, delayMs), {
      durable: true,
      arguments: { ...quorum, ...deadLetterTo(name), 'x-message-ttl': delayMs },
    });
  }
  for (const type of types) await channel.bindQueue(name, names.exchange, type);
}

/** Every queue that `declareQueue` makes for it. */
export const queueNamesOf = (names: BrokerNames, queue: string, retry: RetryPolicy): string[] => [
  names.queue(queue),
  names.deadLetterQueue(queue),
  ...retryQueueDelaysMs(retry).map((delayMs) => names.retryQueue(queue, delayMs)),
];
