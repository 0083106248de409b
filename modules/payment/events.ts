import type { TrackSummary } from '@contracts/drivers.ts';
import type { DomainEvent, EventData, PaymentEventType, TripSnapshot } from '@contracts/events.ts';
import type { EventId, PaymentId } from '@contracts/ids.ts';
import { done, type HandlerOutcome } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { withTimeout } from '@platform/with-timeout.ts';
import { calculateFinalFare, type FarePolicy } from './fares/final-fare.ts';
import { calculateHighestFareMinor } from './fares/highest-fare.ts';
import { createFareTransfer, splitFare } from './ledger/transfers.ts';
import { type CompletedCharge, debtDeclinedSnapshot, type TripCharge } from './payment.ts';
import { type TripTracks, trackWaitMsMax } from './ports.ts';
import type { PaymentStore } from './store/store.ts';
import type { HandledEvent, HandlingResult } from './store/trip-charges.ts';

/** The queue of trip events. It is also the name of the consumer in the inbox. */
export const tripEventsQueue = 'payment.trips';
export const handledTripEvents = [
  'trip.requested.v1',
  'trip.completed.v1',
  'trip.cancelled.v1',
  'trip.unfulfilled.v1',
] as const;
type TripEvent = DomainEvent<(typeof handledTripEvents)[number]>;

/** Builds an event about the payment in `data`. */
export function createPaymentEvent<T extends PaymentEventType>(
  ids: Ids,
  type: T,
  data: EventData<T>,
): DomainEvent<T>;
export function createPaymentEvent(ids: Ids, type: PaymentEventType, data: EventData<PaymentEventType>) {
  return { id: ids<EventId>(), type, source: 'payment', subject: data.paymentId, time: data.at, data };
}

export interface TripEventHandlerDeps {
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

/**
 * Handles trip events. A trip has exactly one payment, whatever the order and number of its events. The
 * fare is decided when the trip is completed: if the event is redelivered, the track may have changed, but
 * the payment stands.
 */
export function createTripEventHandler(options: TripEventHandlerDeps) {
  const { clock, metrics, onDue, onEventWritten } = options;
  return async (event: TripEvent): Promise<HandlerOutcome> => {
    const applied = { consumer: tripEventsQueue, eventId: event.id, nowMs: clock.nowMs() };
    const result = await apply(event, applied, options);
    if (typeof result !== 'string') return result;
    if (result === 'applied') onDue();
    else if (result === 'declined') onEventWritten();
    else metrics.count('events_already_applied_total', { queue: tripEventsQueue });
    return done;
  };
}

async function apply(
  event: TripEvent,
  applied: HandledEvent,
  options: TripEventHandlerDeps,
): Promise<HandlingResult | HandlerOutcome> {
  const { store, ids, farePolicy } = options;
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
        debtDeclinedSnapshot(quoted, applied.nowMs),
      );
      return store.payments.holdForTrip(
        applied,
        quoted,
        calculateHighestFareMinor(trip, farePolicy),
        declined,
      );
    }
    case 'trip.completed.v1':
      return complete(trip, quoted, applied, options);
    case 'trip.cancelled.v1':
    case 'trip.unfulfilled.v1':
      return store.payments.voidForTrip(applied, quoted);
  }
}

async function complete(
  trip: TripSnapshot,
  quoted: TripCharge,
  applied: HandledEvent,
  options: TripEventHandlerDeps,
): Promise<HandlingResult | HandlerOutcome> {
  const { store, ids, metrics, commissionBasisPoints, farePolicy } = options;
  const { driverId } = trip;
  if (driverId === null) return { kind: 'reject', reason: 'completed trip has no driver' };
  const fare = calculateFinalFare(trip, await trackOf(trip, options), farePolicy);
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
  const application = await store.payments.chargeForTrip(applied, charge, {
    id: ids(),
    kind: 'fare',
    refundId: null,
    transfer: createFareTransfer({ riderId: trip.riderId, driverId }, fare.total.currency, shares),
  });
  if (application === 'applied') metrics.count('fares_total', { by: fare.by });
  return application;
}

/**
 * Reads the track from the start to the end of the trip. Undefined when the driver context does not answer
 * in time.
 */
async function trackOf(
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
