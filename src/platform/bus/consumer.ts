import type { EventType } from '@contracts/events.ts';
import type { Worker } from '../lifecycle.ts';
import type { Bus, Subscription } from './bus.ts';

/** A worker that consumes a queue between `start` and `stop`. Its name is the name of the queue. */
export function createConsumer<T extends EventType>(bus: Bus, subscription: Subscription<T>): Worker {
  let unsubscribe: (() => Promise<void>) | undefined;
  return {
    name: subscription.queue,
    async start() {
      unsubscribe ??= await bus.subscribe(subscription);
    },
    async stop() {
      await unsubscribe?.();
      unsubscribe = undefined;
    },
  };
}
