import type { QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Quote } from '@contracts/payments.ts';
import type { TripStatus, Trip as TripView } from '@contracts/trips.ts';
import type { Clock } from '@platform/clock.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Ids } from '@platform/ids.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { IdempotencyKey } from '@platform/postgres/statements.ts';
import type { Random } from '@platform/random.ts';
import { fault } from './errors.ts';
import { tripEvent } from './events.ts';
import type { Moves } from './moves.ts';
import type { FareQuotes } from './ports.ts';
import type { TripPolicy } from './settings.ts';
import { type Action, firstStep, type Refusal, type Step } from './state.ts';
import type { Person, TripStore } from './store/store.ts';
import type { HistoryEntry, Trip, TripFare } from './trip.ts';
import { viewFor } from './views.ts';

export interface TripServiceDeps {
  store: TripStore;
  moves: Moves;
  quotes: FareQuotes;
  clock: Clock;
  random: Random;
  ids: Ids;
  metrics: Metrics;
  policy: TripPolicy;
  /** Called after each write that told something, so that events leave at once. */
  told: () => void;
  /** Sees to a trip that has just come to want a driver. */
  followUp: (step: Step) => Promise<void>;
}

type Rider = Extract<Person, { actor: 'rider' }>;
type Driver = Extract<Person, { actor: 'driver' }>;

export interface ListQuery {
  status?: TripStatus | undefined;
  after?: Cursor | undefined;
  limit: number;
}

export type TripService = ReturnType<typeof createTripService>;

// Others may change the trip between our reading and our writing; each round decides anew.
const conflictRoundsMax = 5;
const wrongCodesInARow = 5;
const startBlockMs = 60_000;

/** What people do with trips. All of it throws the faults of `errors.ts`, and `idempotency.key_reused`. */
export function createTripService(deps: TripServiceDeps) {
  const { store, moves, quotes, clock, random, ids, metrics, policy, told, followUp } = deps;

  return {
    /** A repeated key gets the first answer, also when by now the quote is used and the rider busy: by that trip. */
    async create(rider: Rider, quoteId: QuoteId, key: IdempotencyKey): Promise<TripView> {
      try {
        return await createFrom(await usableQuote(quoteId, rider.id), rider, key);
      } catch (error) {
        const earlier = await store.findAnswer<TripView>(key);
        if (earlier === undefined) throw error;
        return earlier;
      }
    },

    async get(tripId: TripId, by: Person): Promise<Trip> {
      return (await store.findOf(tripId, by)) ?? notFound();
    },

    async history(tripId: TripId, by: Person): Promise<HistoryEntry[]> {
      const entries = await store.history(tripId, by);
      return entries.length === 0 ? notFound() : entries;
    },

    list: (by: Person, query: ListQuery): Promise<Trip[]> => store.list({ by, ...query }),

    accept: (tripId: TripId, by: Driver) => act(tripId, { kind: 'accept', by }, store.findAsked),
    async decline(tripId: TripId, by: Driver, reason: string | null): Promise<void> {
      await act(tripId, { kind: 'decline', by, reason }, store.findAsked);
    },
    arrive: (tripId: TripId, by: Driver) => act(tripId, { kind: 'arrive', by }),
    start: (tripId: TripId, by: Driver, code: string) => act(tripId, { kind: 'start', by, code }),
    complete: (tripId: TripId, by: Driver) => act(tripId, { kind: 'complete', by }),
    cancel: (tripId: TripId, by: Person, reason: string) => act(tripId, { kind: 'cancel', by, reason }),

    /** Once each, after completion; saying the same again is no second rating. */
    async rate(tripId: TripId, by: Person, stars: number, comment: string | null): Promise<Trip> {
      const rated = await store.rate(tripId, by, stars, comment);
      const trip = (await store.findOf(tripId, by)) ?? notFound();
      if (trip.status !== 'completed') throw fault('trip.wrong_state');
      const given = by.actor === 'rider' ? trip.ratings.byRider : trip.ratings.byDriver;
      if (!rated && given !== stars) throw fault('trip.rated');
      return trip;
    },
  };

  async function usableQuote(quoteId: QuoteId, riderId: RiderId): Promise<Quote> {
    const quote = await quotes.find(quoteId, riderId);
    if (quote === undefined || quote.riderId !== riderId) throw fault('quote.not_found');
    if (Date.parse(quote.expiresAt) <= clock.nowMs()) throw fault('quote.expired');
    return quote;
  }

  async function createFrom(quote: Quote, rider: Rider, key: IdempotencyKey): Promise<TripView> {
    const asked = { id: ids<TripId>(), riderId: rider.id, fare: fareOf(quote), startCode: startCode(random) };
    const step = firstStep(asked, clock.nowMs(), policy);
    const answer = viewFor(step.trip, rider.id);
    const created = await store.create({ step, event: tripEvent(ids, step) }, key, answer);
    switch (created) {
      case 'created':
        told();
        metrics.count('trip_transitions_total', { to: 'requested', by: 'rider' });
        await followUp(step);
        return answer;
      case 'key_used':
        return (await store.findAnswer<TripView>(key)) ?? conflict();
      case 'quote_used':
        throw fault('quote.used');
      case 'rider_busy':
        throw fault('trip.rider_busy');
    }
  }

  /** Decides on the trip as it stands, and again when it was moved by others meanwhile. */
  async function act<By extends Person>(
    tripId: TripId,
    action: Action & { by: By },
    find: (tripId: TripId, by: By) => Promise<Trip | undefined> = store.findOf,
  ): Promise<Trip> {
    for (let round = 0; round < conflictRoundsMax; round++) {
      const trip = (await find(tripId, action.by)) ?? notFound();
      const moved = await moves.move(trip, action);
      switch (moved.kind) {
        case 'moved':
          await followUp(moved.step);
          return moved.step.trip;
        case 'repeated':
          return trip;
        case 'refused':
          if (await isCounted(moved.code, trip)) throw refusal(moved.code, trip);
          break;
        case 'stale':
        case 'driver_taken':
          break;
      }
    }
    return conflict();
  }

  /** A wrong code is refused once it is counted; if another was counted meanwhile, that may block this one. */
  async function isCounted(code: Refusal, trip: Trip): Promise<boolean> {
    if (code !== 'trip.start_code_wrong') return true;
    const isLast = (trip.wrongStartCodes + 1) % wrongCodesInARow === 0;
    return store.countWrongCode(trip, isLast ? clock.nowMs() + startBlockMs : 0);
  }

  function refusal(code: Refusal, trip: Trip) {
    if (code !== 'trip.start_code_blocked') return fault(code);
    return fault(code, { retryAfterSeconds: Math.ceil((trip.startBlockedUntilMs - clock.nowMs()) / 1000) });
  }
}

function notFound(): never {
  throw fault('trip.not_found');
}

function conflict(): never {
  throw fault('trip.conflict');
}

const startCode = (random: Random): string => String(Math.floor(random.next() * 10_000)).padStart(4, '0');

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
