import type { QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Quote } from '@contracts/payments.ts';
import { RiderTrip } from '@contracts/trips.ts';
import type { Ids } from '@platform/ids.ts';
import type { IdempotencyKey } from '@platform/postgres/statements.ts';
import type { Random } from '@platform/random.ts';
import { Value } from '@sinclair/typebox/value';
import { tripProblem } from '../errors.ts';
import { createTripEvent } from '../events.ts';
import type { FareQuotes } from '../ports.ts';
import type { TripPolicy } from '../settings.ts';
import { createInitialTransition, type TripTransition } from '../state.ts';
import type { RiderActor, TripFare } from '../trip.ts';
import { riderView } from '../views.ts';
import { firstNameOf } from './first-name.ts';
import { createGroupedWrites, type GroupedWritesDeps } from './grouped-writes.ts';

export interface CreationDeps extends GroupedWritesDeps {
  quotes: FareQuotes;
  random: Random;
  ids: Ids;
  policy: TripPolicy;
  /** Called after each write that added an event to the outbox, so that the relay publishes it at once. */
  onEventWritten: () => void;
  /** Throws `service.unavailable` while too many outbox entries wait for the broker. */
  assertRoom: () => void;
  /** Dispatches the trip if the transition sent it to the search. */
  dispatchIfNeeded: (transition: TripTransition) => Promise<void>;
}

/** The rider who requests a trip, with the name in their access token. */
export type RequestingRider = RiderActor & { name: string | null };

/**
 * Creates a trip from a quote. A repeated idempotency key gets the first response, although by then the
 * quote is used and the rider has an active trip. Throws `quote.*`, `payment.debt_outstanding`,
 * `trip.rider_busy`, `idempotency.key_reused`, and `service.unavailable` when overloaded.
 */
export function createTripCreation(deps: CreationDeps) {
  const { store, quotes, clock, random, ids, metrics, policy, onEventWritten, assertRoom, dispatchIfNeeded } =
    deps;
  const write = createGroupedWrites(deps);

  return async (rider: RequestingRider, quoteId: QuoteId, key: IdempotencyKey): Promise<RiderTrip> => {
    try {
      return await createFrom(await findUsableQuote(quoteId, rider.id), rider, key);
    } catch (error) {
      const storedResponse = await store.findResponse<RiderTrip>(key);
      if (storedResponse === undefined) throw error;
      return withCurrentFields(storedResponse);
    }
  };

  async function findFirstResponse(key: IdempotencyKey): Promise<RiderTrip> {
    const response = await store.findResponse<RiderTrip>(key);
    if (response === undefined) throw tripProblem('trip.conflict');
    return withCurrentFields(response);
  }

  async function findUsableQuote(quoteId: QuoteId, riderId: RiderId): Promise<Quote> {
    const found = await quotes.find(quoteId, riderId);
    if (found === undefined || found.quote.riderId !== riderId) throw tripProblem('quote.not_found');
    const { quote, debtPaymentId } = found;
    if (debtPaymentId !== null) {
      throw tripProblem('payment.debt_outstanding', { detail: `payment ${debtPaymentId} is outstanding` });
    }
    if (Date.parse(quote.expiresAt) <= clock.nowMs()) throw tripProblem('quote.expired');
    return quote;
  }

  async function createFrom(quote: Quote, rider: RequestingRider, key: IdempotencyKey): Promise<RiderTrip> {
    assertRoom();
    const request = {
      id: ids<TripId>(),
      riderId: rider.id,
      riderProfile: { firstName: firstNameOf(rider.name), rating: null },
      fare: fareOf(quote),
      startCode: createStartCode(random),
    };
    const transition = createInitialTransition(request, clock.nowMs(), policy);
    const response = riderView(transition.trip);
    const outcome = await write({ transition, event: createTripEvent(ids, transition), key, response });
    switch (outcome) {
      case 'created':
        onEventWritten();
        metrics.count('trip_transitions_total', { to: 'requested', by: 'rider' });
        await dispatchIfNeeded(transition);
        return response;
      case 'key_used':
        return await findFirstResponse(key);
      case 'quote_used':
        throw tripProblem('quote.used');
      case 'rider_busy':
        throw tripProblem('trip.rider_busy');
    }
  }
}

/** Responses that were stored before views became allow-lists contain ids and have no `driver`. */
const withCurrentFields = (response: RiderTrip): RiderTrip =>
  'driver' in response ? response : Value.Parse(RiderTrip, { ...Object(response), driver: null });

function createStartCode(random: Random): string {
  const number = random.bytes(4).reduce((sum, byte) => sum * 256 + byte, 0);
  return String(number % 10_000).padStart(4, '0');
}

const fareOf = (quote: Quote): TripFare => ({
  quoteId: quote.id,
  paymentMethodId: quote.paymentMethodId,
  product: quote.product,
  pickup: quote.pickup,
  dropoff: quote.dropoff,
  distanceMetres: quote.distanceMetres,
  durationSeconds: quote.durationSeconds,
  total: quote.fare,
  lines: quote.lines,
});
