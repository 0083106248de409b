import type { ChannelModel } from 'amqplib';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { withTimeout } from '../with-timeout.ts';
import type { QueueConsumer } from './queue-consumer.ts';

const firstAttachTimeoutMs = 5_000;

/** All consumers of a bus, which are attached to each new connection together. */
export function createConsumerGroup({ clock, log }: { clock: Clock; log: Log }) {
  const consumers = new Set<QueueConsumer>();
  let current: ChannelModel | undefined;
  let nextAttach = Promise.withResolvers<void>();

  return {
    /** Adds a consumer and attaches it. Resolves to a function that stops and removes it. */
    async add(consumer: QueueConsumer, queue: string): Promise<() => Promise<void>> {
      const remove = () => {
        consumers.delete(consumer);
        return consumer.stop();
      };
      consumers.add(consumer);
      try {
        await attachFirst(consumer, queue);
      } catch (error) {
        await remove();
        throw error;
      }
      return remove;
    },

    async attach(model: ChannelModel): Promise<void> {
      current = model;
      await Promise.all([...consumers].map((consumer) => consumer.attach(model)));
      nextAttach.resolve();
      nextAttach = Promise.withResolvers();
    },

    detach(): void {
      current = undefined;
      for (const consumer of consumers) consumer.detach();
    },

    async stop(): Promise<void> {
      await Promise.all([...consumers].map((consumer) => consumer.stop()));
    },
  };

  /** Waits for an unavailable broker for a limited time; the consumer starts whenever the broker is back. */
  async function attachFirst(consumer: QueueConsumer, queue: string): Promise<void> {
    const model = current;
    if (model !== undefined) {
      try {
        return await consumer.attach(model);
      } catch (error) {
        // The connection is fine but the broker rejects the queue, which exists with other arguments.
        if (model === current) throw error;
      }
    }
    await withTimeout(clock, firstAttachTimeoutMs, nextAttach.promise);
    if (current === undefined) log.warn({ queue }, 'broker unavailable, consumer starts when it is back');
  }
}
