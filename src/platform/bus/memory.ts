import type { EventType } from '@contracts/events.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { problem } from '../problems.ts';
import type { Random } from '../random.ts';
import type { OperableBus, Subscription } from './bus.ts';
import { assertEvents } from './envelope.ts';
import { createHandlerRunner, handlerTimeoutMsDefault } from './handler-runner.ts';
import { createMemoryQueue, type MemoryQueue } from './memory-queue.ts';
import { defaultRetryPolicy, type RetryPolicy } from './retry-policy.ts';

export interface MemoryBusOptions {
  clock: Clock;
  random: Random;
  log: Log;
  /** For subscriptions without a policy of their own. */
  retry?: RetryPolicy;
  handlerTimeoutMs?: number;
  /** The most events that one queue holds. A publish beyond it rejects, as with a full RabbitMQ queue. */
  queueLengthMax?: number;
}

const queueLengthMaxDefault = 100_000;

/**
 * The bus within one process, for local development, tests and simulation. It behaves like the bus on
 * RabbitMQ (competing consumers, prefetch, retries, dead letters) but stores nothing durably. All delays
 * go by `clock`.
 */
export function createMemoryBus(options: MemoryBusOptions): OperableBus {
  const { clock, random, log, retry = defaultRetryPolicy } = options;
  const handlerTimeoutMs = options.handlerTimeoutMs ?? handlerTimeoutMsDefault;
  const lengthMax = options.queueLengthMax ?? queueLengthMaxDefault;
  const queues = new Map<string, MemoryQueue>();
  const stopFunctions = new Set<() => Promise<void>>();
  const closed = new AbortController();

  return {
    async publish(events) {
      assertOpen();
      assertEvents(events);
      for (const queue of queues.values()) queue.assertRoom(events);
      for (const event of events) {
        const text = JSON.stringify(event);
        for (const queue of queues.values()) queue.push(event, text);
      }
    },

    async subscribe(subscription) {
      assertOpen();
      const queue = declareQueue(subscription.queue);
      queue.bind(subscription.events);
      return startConsumer(queue, subscription);
    },

    deadLetters: async (name) => queues.get(name)?.deadLetters.list() ?? [],

    async scanDeadLetters(name, visit) {
      assertOpen();
      return queues.get(name)?.deadLetters.scan(visit) ?? { total: 0, searched: 0 };
    },

    async queueCounts(name) {
      assertOpen();
      return queues.get(name)?.counts() ?? { ready: 0, dead: 0 };
    },

    async ping() {
      assertOpen();
    },

    async close() {
      closed.abort();
      await Promise.all([...stopFunctions].map((stop) => stop()));
    },
  };

  function assertOpen(): void {
    if (closed.signal.aborted) throw problem('service.unavailable', { detail: 'the bus is closed' });
  }

  function declareQueue(name: string): MemoryQueue {
    const queue =
      queues.get(name) ?? createMemoryQueue({ name, clock, random, log, lengthMax, closed: closed.signal });
    queues.set(name, queue);
    return queue;
  }

  function startConsumer<T extends EventType>(
    queue: MemoryQueue,
    subscription: Subscription<T>,
  ): () => Promise<void> {
    const runner = createHandlerRunner({ subscription, clock, log, handlerTimeoutMs });
    const consumer = { prefetch: subscription.prefetch, retry: subscription.retry ?? retry, runner };
    const removeConsumer = queue.addConsumer(consumer);

    async function stop() {
      removeConsumer();
      await runner.stop();
      stopFunctions.delete(stop);
      queue.deliverReady();
    }
    stopFunctions.add(stop);
    return stop;
  }
}
