import { type Bus, done } from '@platform/bus/bus.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Dispatcher } from './dispatch/dispatcher.ts';
import { dispatchEvents } from './events.ts';

export const dispatchQueue = 'trip.dispatch';

/**
 * Dispatches the trips that events tell of (DISPATCH_MODE=events). There is no inbox row: the event's
 * version is the fence, so an event that comes twice or late finds the trip moved on and does nothing.
 * Nothing is retried by the bus either, since the trip's timer searches again anyway.
 */
export function createDispatchConsumer(bus: Bus, dispatcher: Dispatcher, prefetch: number): Worker {
  let stop: (() => Promise<void>) | undefined;
  return {
    name: dispatchQueue,
    async start() {
      stop = await bus.subscribe({
        queue: dispatchQueue,
        events: dispatchEvents,
        prefetch,
        async handle({ event: { data } }) {
          await dispatcher.dispatch({ tripId: data.tripId, version: data.version });
          return done;
        },
      });
    },
    async stop() {
      await stop?.();
    },
  };
}
