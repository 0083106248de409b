import type { TripId } from '@contracts/ids.ts';
import type { Quote } from '@contracts/payments.ts';
import type { Trip, TripStatus } from '@contracts/trips.ts';
import { type CityContext, countFailure } from './city-context.ts';
import type { Demand } from './demand.ts';
import type { CityPerson } from './person.ts';
import type { RidePlan } from './rider-plan.ts';

export interface CityRider {
  person: CityPerson;
  /** What the card of this rider is for. */
  cardDeclines: boolean;
  /** The newest rides and how they ended, for the roll call at the end. */
  rides: Map<TripId, TripStatus>;
}

/** One ride under way, as its rider knows it. */
export interface CityRide {
  world: CityContext;
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
  /** Payment news that came before anybody asked for it. */
  paymentEvent: string | undefined;
}

export const createTripKey = ({ runTag }: CityContext, { index }: Demand): string =>
  `${runTag}-trip-${index}`;

/** The truth, whatever was pushed. */
export async function refreshRide(ride: CityRide): Promise<Trip | undefined> {
  const reply = await ride.rider.person.readTrip(ride.tripId);
  if (!reply.ok) {
    const isLost = reply.status === 404 || reply.status === 403;
    if (isLost)
      ride.world.observations.addViolation('acknowledged_lost', ride.tripId, `its rider reads ${reply.code}`);
    countFailure(ride.world, reply, false);
    return undefined;
  }
  const trip = reply.value;
  if (trip.version >= ride.version) ({ status: ride.status, version: ride.version } = trip);
  ride.startCode ??= trip.startCode;
  return trip;
}
