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
  /** Called after each write that told something, so that events leave at once. */
  onEventWritten: () => void;
  /** Throws `service.unavailable` while too many events wait for the broker. */
  assertRoom: () => void;
  /** Sees to a trip that has just come to want a driver. */
  dispatchIfNeeded: (step: TripTransition) => Promise<void>;
}

/** Who asks for a trip, and their name as their token says it. */
export type RequestingRider = RiderActor & { name: string | null };

/**
 * Makes a trip of a quote. A repeated key gets the first answer, also when by now the quote is used and
 * the rider busy: by that trip. Throws `quote.*`, `trip.rider_busy`, `idempotency.key_reused`, and
 * `service.unavailable` when more riders ask than can be served.
 */
export function createTripCreation(deps: CreationDeps) {
  const { store, quotes, clock, random, ids, metrics, policy, onEventWritten, assertRoom, dispatchIfNeeded } =
    deps;
  const write = createGroupedWrites(deps);

  return async (rider: RequestingRider, quoteId: QuoteId, key: IdempotencyKey): Promise<RiderTrip> => {
    try {
      return await createFrom(await usableQuote(quoteId, rider.id), rider, key);
    } catch (error) {
      const earlier = await store.findAnswer<RiderTrip>(key);
      if (earlier === undefined) throw error;
      return asShownNow(earlier);
    }
  };

  async function firstAnswer(key: IdempotencyKey): Promise<RiderTrip> {
    const answer = await store.findAnswer<RiderTrip>(key);
    if (answer === undefined) throw tripProblem('trip.conflict');
    return asShownNow(answer);
  }

  async function usableQuote(quoteId: QuoteId, riderId: RiderId): Promise<Quote> {
    const found = await quotes.find(quoteId, riderId);
    if (found === undefined || found.quote.riderId !== riderId) throw tripProblem('quote.not_found');
    const { quote, debtPaymentId } = found;
    if (debtPaymentId !== null) {
      throw tripProblem('payment.debt_outstanding', { detail: `payment ${debtPaymentId} is owed` });
    }
    if (Date.parse(quote.expiresAt) <= clock.nowMs()) throw tripProblem('quote.expired');
    return quote;
  }

  async function createFrom(quote: Quote, rider: RequestingRider, key: IdempotencyKey): Promise<RiderTrip> {
    assertRoom();
    const asked = {
      id: ids<TripId>(),
      riderId: rider.id,
      riderProfile: { firstName: firstNameOf(rider.name), rating: null },
      fare: fareOf(quote),
      startCode: startCode(random),
    };
    const transition = createInitialTransition(asked, clock.nowMs(), policy);
    const answer = riderView(transition.trip);
    const created = await write({ transition, event: createTripEvent(ids, transition), key, answer });
    switch (created) {
      case 'created':
        onEventWritten();
        metrics.count('trip_transitions_total', { to: 'requested', by: 'rider' });
        await dispatchIfNeeded(transition);
        return answer;
      case 'key_used':
        return await firstAnswer(key);
      case 'quote_used':
        throw tripProblem('quote.used');
      case 'rider_busy':
        throw tripProblem('trip.rider_busy');
    }
  }
}

/** An answer that was kept before the views were allow-lists has ids in it, and no `driver`. */
const asShownNow = (answer: RiderTrip): RiderTrip =>
  'driver' in answer ? answer : Value.Parse(RiderTrip, { ...Object(answer), driver: null });

function startCode(random: Random): string {
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
