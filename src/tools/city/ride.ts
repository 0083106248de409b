import type { TripId } from '@contracts/ids.ts';
import type { Quote } from '@contracts/payments.ts';
import type { Trip, TripStatus } from '@contracts/trips.ts';
import { type CityContext, countFailure } from './city-context.ts';
import type { Demand } from './demand.ts';
import type { CityPerson } from './person.ts';
import type { RidePlan } from './rider-plan.ts';

export interface CityRider {
  person: CityPerson;
  /** True while the rider's card is one that the provider declines. */
  cardDeclines: boolean;
  /** The latest trips with their final status, for the check at the end. */
  rides: Map<TripId, TripStatus>;
}

/** One active ride as its rider sees it. */
export interface CityRide {
  context: CityContext;
  rider: CityRider;
  demand: Demand;
  plan: RidePlan;
  quote: Quote;
  tripId: TripId;
  status: TripStatus;
  version: number;
  sentAtMs: number;
  wasAssigned: boolean;
  startCode: string | undefined;
  /** The name of a payment event that arrived for this ride. */
  paymentEvent: string | undefined;
}

export const createTripKey = ({ runTag }: CityContext, { index }: Demand): string =>
  `${runTag}-trip-${index}`;

/** Reads the trip and updates the ride, whatever was pushed before. */
export async function refreshRide(ride: CityRide): Promise<Trip | undefined> {
  const reply = await ride.rider.person.readTrip(ride.tripId);
  if (!reply.ok) {
    const isLost = reply.status === 404 || reply.status === 403;
    if (isLost)
      ride.context.observations.addViolation(
        'acknowledged_lost',
        ride.tripId,
        `its rider gets ${reply.code}`,
      );
    countFailure(ride.context, reply, false);
    return undefined;
  }
  const trip = reply.value;
  if (trip.version >= ride.version) ({ status: ride.status, version: ride.version } = trip);
  ride.startCode ??= trip.startCode;
  return trip;
}
