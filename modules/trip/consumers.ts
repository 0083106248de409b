import type { SignedOut } from '@contracts/events.ts';
import type { TripId } from '@contracts/ids.ts';
import { type Bus, done, type HandlerOutcome } from '@platform/bus/bus.ts';
import { createConsumer } from '@platform/bus/consumer.ts';
import type { Dispatcher } from './dispatch/dispatcher.ts';
import { dispatchEvents } from './events.ts';

export const dispatchQueue = 'trip.dispatch';
export const paymentQueue = 'trip.payments';
export const peopleQueue = 'trip.people';

export interface TripConsumersDeps {
  bus: Bus;
  dispatcher: Pick<Dispatcher, 'dispatch'>;
  cancelDeclinedTrip: (tripId: TripId) => Promise<void>;
  handleSignOut: (signedOut: SignedOut) => Promise<HandlerOutcome>;
  prefetch: number;
}

/**
 * The events that the trip context handles. No consumer needs an inbox row: the version and the state of
 * the trip are the fence, so a redelivered or late event finds a newer trip and changes nothing.
 */
export function createTripConsumers(deps: TripConsumersDeps) {
  const { bus, dispatcher, cancelDeclinedTrip, handleSignOut, prefetch } = deps;
  return {
    /**
     * Dispatches trips that need a driver (DISPATCH_MODE=events). The bus never retries it, since the timer
     * of the trip starts the search again.
     */
    dispatch: createConsumer(bus, {
      queue: dispatchQueue,
      events: dispatchEvents,
      prefetch,
      async handle({ event: { data } }) {
        await dispatcher.dispatch({ tripId: data.tripId, version: data.version });
        return done;
      },
    }),
    payments: createConsumer(bus, {
      queue: paymentQueue,
      events: ['payment.declined.v1'],
      prefetch,
      async handle({ event: { data } }) {
        await cancelDeclinedTrip(data.tripId);
        return done;
      },
    }),
    people: createConsumer(bus, {
      queue: peopleQueue,
      events: ['user.signed_out.v1'],
      prefetch,
      handle: ({ event }) => handleSignOut(event.data),
    }),
  };
}
