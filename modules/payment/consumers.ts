import type { TrackSummary } from '@contracts/drivers.ts';
import type { DomainEvent, TripSnapshot } from '@contracts/events.ts';
import type { PaymentId } from '@contracts/ids.ts';
import { type Bus, done, type HandlerOutcome } from '@platform/bus/bus.ts';
import { createConsumer } from '@platform/bus/consumer.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { withTimeout } from '@platform/with-timeout.ts';
import { createPaymentEvent, debtDeclinedSnapshot } from './events.ts';
import { calculateFinalFare, type FarePolicy } from './fares/final-fare.ts';
import { calculateHighestFareMinor } from './fares/highest-fare.ts';
import { createFareTransfer, splitFare } from './ledger/transfers.ts';
import type { CompletedCharge, TripCharge } from './payment.ts';
import { type TripTracks, trackWaitMsMax } from './ports.ts';
import type { PaymentStore } from './store/store.ts';
import type { HandledEvent, HandlingResult } from './store/trip-charges.ts';

/** The queue of trip events. It is also the name of the consumer in the inbox. */
export const tripEventsQueue = 'payment.trips';
const handledTripEvents = [
  'trip.requested.v1',
  'trip.completed.v1',
  'trip.cancelled.v1',
  'trip.unfulfilled.v1',
] as const;
type TripEvent = DomainEvent<(typeof handledTripEvents)[number]>;

export interface TripConsumerDeps extends TripEventHandlerDeps {
  bus: Bus;
  /** Trip events handled at the same time. */
  prefetch: number;
}

interface TripEventHandlerDeps {
  store: PaymentStore;
  tracks: TripTracks;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  commissionBasisPoints: number;
  farePolicy: FarePolicy;
  /** Called when a payment is due. */
  onDue: () => void;
  /** Called when the outbox may hold a new event. */
  onEventWritten: () => void;
}

/** Consumes the trip events that decide about payments. */
export function createTripConsumer(deps: TripConsumerDeps): Worker {
  const { bus, prefetch } = deps;
  const handle = createTripEventHandler(deps);
  return createConsumer(bus, {
    queue: tripEventsQueue,
    events: handledTripEvents,
    prefetch,
    handle: ({ event }) => handle(event),
  });
}

/**
 * Handles trip events. A trip has exactly one payment, whatever the order and number of its events. The
 * fare is decided when the trip is completed: if the event is redelivered, the track may have changed, but
 * the payment stands.
 */
function createTripEventHandler(deps: TripEventHandlerDeps) {
  const { clock, metrics, onDue, onEventWritten } = deps;
  return async (event: TripEvent): Promise<HandlerOutcome> => {
    const handled = { consumer: tripEventsQueue, eventId: event.id, nowMs: clock.nowMs() };
    const result = await handleTripEvent(event, handled, deps);
    if (typeof result !== 'string') return result;
    if (result === 'applied') onDue();
    else if (result === 'declined') onEventWritten();
    else metrics.count('events_already_applied_total', { queue: tripEventsQueue });
    return done;
  };
}

async function handleTripEvent(
  event: TripEvent,
  handled: HandledEvent,
  deps: TripEventHandlerDeps,
): Promise<HandlingResult | HandlerOutcome> {
  const { store, ids, farePolicy } = deps;
  const { data: trip } = event;
  if (trip.fare.amountMinor < 0) return { kind: 'reject', reason: 'fare is negative' };
  const quoted: TripCharge = {
    id: ids<PaymentId>(),
    tripId: trip.tripId,
    riderId: trip.riderId,
    paymentMethodId: trip.paymentMethodId,
    amount: trip.fare,
    product: trip.product,
    distanceMetres: trip.distanceMetres,
    durationSeconds: trip.durationSeconds,
    lines: trip.fareLines,
  };
  switch (event.type) {
    case 'trip.requested.v1': {
      const declined = createPaymentEvent(
        ids,
        'payment.declined.v1',
        debtDeclinedSnapshot(quoted, handled.nowMs),
      );
      return store.payments.holdForTrip(
        handled,
        quoted,
        calculateHighestFareMinor(trip, farePolicy),
        declined,
      );
    }
    case 'trip.completed.v1':
      return chargeCompletedTrip(trip, quoted, handled, deps);
    case 'trip.cancelled.v1':
    case 'trip.unfulfilled.v1':
      return store.payments.voidForTrip(handled, quoted);
  }
}

async function chargeCompletedTrip(
  trip: TripSnapshot,
  quoted: TripCharge,
  handled: HandledEvent,
  deps: TripEventHandlerDeps,
): Promise<HandlingResult | HandlerOutcome> {
  const { store, ids, metrics, commissionBasisPoints, farePolicy } = deps;
  const { driverId } = trip;
  if (driverId === null) return { kind: 'reject', reason: 'completed trip has no driver' };
  const fare = calculateFinalFare(trip, await readTrack(trip, deps), farePolicy);
  if (fare === undefined) return { kind: 'retry', reason: 'track of the metered trip is not available yet' };
  const shares = splitFare(fare.total.amountMinor, commissionBasisPoints);
  const charge: CompletedCharge = {
    ...quoted,
    driverId,
    amount: fare.total,
    commissionMinor: shares.commissionMinor,
    distanceMetres: fare.distanceMetres,
    durationSeconds: fare.durationSeconds,
    lines: fare.lines,
    completedAtMs: Date.parse(trip.at),
  };
  const result = await store.payments.chargeForTrip(handled, charge, {
    id: ids(),
    kind: 'fare',
    refundId: null,
    transfer: createFareTransfer({ riderId: trip.riderId, driverId }, fare.total.currency, shares),
  });
  if (result === 'applied') metrics.count('fares_total', { by: fare.by });
  return result;
}

/**
 * Reads the track from the start to the end of the trip. Undefined when the driver context does not answer
 * in time.
 */
async function readTrack(
  { tripId, startedAt, at }: TripSnapshot,
  { tracks, clock, log, metrics }: TripEventHandlerDeps,
): Promise<TrackSummary | undefined> {
  if (startedAt === undefined) return undefined;
  try {
    const track = await withTimeout(clock, trackWaitMsMax, tracks.summarise(tripId, startedAt, at));
    if (track !== 'late') return track;
  } catch (error) {
    log.debug({ tripId, err: error }, 'failed to read the track of a trip');
  }
  metrics.count('fare_tracks_missed_total');
  return undefined;
}
