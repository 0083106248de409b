import type { TrackSummary } from '@contracts/drivers.ts';
import type { DomainEvent, EventData, PaymentEventType, TripSnapshot } from '@contracts/events.ts';
import type { EventId, PaymentId } from '@contracts/ids.ts';
import { done, type Outcome } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { within } from '@platform/within.ts';
import { type FarePolicy, finalFare } from './final-fare.ts';
import { sharesOf } from './ledger.ts';
import type { NewPayment } from './payments.ts';
import { type TripTracks, trackMsMax } from './ports.ts';
import type { PaymentStore } from './store.ts';

/** The queue of the events that this context acts on; also the consumer's name in the inbox. */
export const tripQueue = 'payment.trips';
export const tripEvents = ['trip.completed.v1'] as const;

/** An event of this context, about the payment in `data`. */
export function paymentEvent<T extends PaymentEventType>(
  ids: Ids,
  type: T,
  data: EventData<T>,
): DomainEvent<T>;
export function paymentEvent(ids: Ids, type: PaymentEventType, data: EventData<PaymentEventType>) {
  return { id: ids<EventId>(), type, source: 'payment', subject: data.paymentId, time: data.at, data };
}

export interface TripHandlerOptions {
  store: PaymentStore;
  tracks: TripTracks;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  commissionBasisPoints: number;
  farePolicy: FarePolicy;
  /** Called when a payment waits to be charged. */
  onCreated: () => void;
}

/**
 * A completed trip becomes a payment: one for each trip, however often and in whatever order it is told.
 * The fare is decided with it: told again, the trip may have another track, but its payment stands.
 */
export function createTripHandler(options: TripHandlerOptions) {
  const { store, clock, ids, metrics, commissionBasisPoints, farePolicy, onCreated } = options;
  return async (event: DomainEvent<(typeof tripEvents)[number]>): Promise<Outcome> => {
    const { data: trip } = event;
    if (trip.driverId === null) return { kind: 'reject', reason: 'a completed trip without a driver' };
    if (trip.fare.amountMinor <= 0) return { kind: 'reject', reason: 'a completed trip without a fare' };
    const fare = finalFare(trip, await trackOf(trip, options), farePolicy);
    if (fare === undefined) return { kind: 'retry', reason: 'the track of a metered ride is not known yet' };
    const payment: NewPayment = {
      id: ids<PaymentId>(),
      tripId: trip.tripId,
      riderId: trip.riderId,
      driverId: trip.driverId,
      paymentMethodId: trip.paymentMethodId,
      amount: fare.total,
      commissionMinor: sharesOf(fare.total.amountMinor, commissionBasisPoints).commissionMinor,
      product: trip.product,
      distanceMetres: fare.distanceMetres,
      durationSeconds: fare.durationSeconds,
      lines: fare.lines,
      completedAtMs: Date.parse(trip.at),
    };
    if (await store.payments.createForTrip(tripQueue, event.id, payment, clock.nowMs())) {
      metrics.count('fares_total', { by: fare.by });
      onCreated();
    } else metrics.count('events_already_applied_total', { queue: tripQueue });
    return done;
  };
}

/** What was driven from the start to the end, if the driver context can tell it in time. */
async function trackOf(
  { tripId, startedAt, at }: TripSnapshot,
  { tracks, clock, log, metrics }: TripHandlerOptions,
): Promise<TrackSummary | undefined> {
  if (startedAt === undefined) return undefined;
  try {
    const track = await within(clock, trackMsMax, tracks.driven(tripId, startedAt, at));
    if (track !== 'late') return track;
  } catch (error) {
    log.debug({ tripId, err: error }, 'the track of a trip was not told');
  }
  metrics.count('fare_tracks_missed_total');
  return undefined;
}
