import type { TripId } from '@contracts/ids.ts';
import type { Receipt } from '@contracts/payments.ts';
import type { Trip } from '@contracts/trips.ts';
import { type CityContext, countFailure } from './city-context.ts';
import type { ApiReply } from './http.ts';
import type { CityPerson } from './person.ts';
import { type CityRide, type CityRider, createTripKey, refreshRide } from './ride.ts';
import { incrementCount } from './tally.ts';

/** Checks idempotency and read-your-writes: the same key gives the same trip, another body with it is rejected, and a new trip is readable at once. */
export async function checkTripCreation(ride: CityRide): Promise<void> {
  const { world, rider, plan, quote, tripId, demand } = ride;
  const { observations, tally } = world;
  if (plan.readsBack) await refreshRide(ride);
  if (plan.repeatsCreate) {
    const again = await rider.person.client.createTrip(quote.id, createTripKey(world, demand));
    if (!again.ok) countFailure(world, again, false);
    else if (again.value.id !== tripId)
      observations.addViolation('idempotency', tripId, `repeating the create made trip ${again.value.id}`);
  }
  if (plan.misusesKey) {
    const otherQuoteId = tripId;
    const other = await rider.person.client.createTrip(otherQuoteId, createTripKey(world, demand));
    if (other.ok)
      observations.addViolation('idempotency', tripId, 'its idempotency key was accepted with another body');
    else if (other.status === 422) incrementCount(tally.provoked, other.code);
    else countFailure(world, other, false);
  }
}

const rememberedTripsMax = 50;

/** Reads the final trip and its history, and checks them against everything that was seen of it. */
export async function checkEndedTrip(ride: CityRide): Promise<Trip | undefined> {
  const { world, rider, tripId } = ride;
  const final = await refreshRide(ride);
  if (final === undefined) return undefined;
  world.observations.recordEnd('rider', final);
  rider.rides.set(tripId, final.status);
  const [oldest] = rider.rides.keys();
  if (rider.rides.size > rememberedTripsMax && oldest !== undefined) rider.rides.delete(oldest);
  const history = await rider.person.client.history(tripId);
  if (history.ok) world.observations.checkHistory(final, history.value.items);
  else countFailure(world, history, false);
  return final;
}

/** Checks that other people can not read the trip. */
export async function checkTripIsPrivate(
  { world, tripId }: CityRide,
  otherPerson: CityPerson,
): Promise<void> {
  expectRejection(world, tripId, await otherPerson.client.trip(tripId));
}

/** Checks that other people can not read the payment, and that its rider reads the same as on the receipt. */
export async function checkPaymentIsPrivate(
  { world, rider, tripId }: CityRide,
  receipt: Receipt,
  otherPerson: CityPerson,
): Promise<void> {
  expectRejection(world, tripId, await otherPerson.client.payment(receipt.paymentId));
  const own = await rider.person.client.payment(receipt.paymentId);
  if (!own.ok) return countFailure(world, own, false);
  const { amount, status } = own.value;
  const isSame = status === receipt.status && amount.amountMinor === receipt.total.amountMinor;
  if (!isSame) world.observations.addViolation('views_differ', tripId, 'payment and receipt differ');
}

function expectRejection(world: CityContext, tripId: TripId, reply: ApiReply<unknown>): void {
  if (reply.ok) world.observations.addViolation('seen_by_stranger', tripId, 'another person could read it');
  else countFailure(world, reply, true);
}

/** Checks at the end of the run that each rider's list contains the ended trips with their final status. */
export async function checkTripList(world: CityContext, { person, rides }: CityRider): Promise<void> {
  if (rides.size === 0) return;
  const list = await person.client.trips(100);
  if (!list.ok) return countFailure(world, list, false);
  const listed = new Map<TripId, Trip>(list.value.items.map((trip) => [trip.id, trip]));
  for (const [tripId, status] of rides) {
    const trip = listed.get(tripId);
    if (trip === undefined)
      world.observations.addViolation(
        'acknowledged_lost',
        tripId,
        'it is missing from the list of its rider',
      );
    else if (trip.status !== status)
      world.observations.addViolation(
        'views_differ',
        tripId,
        `ended as ${status}, the list says ${trip.status}`,
      );
  }
}
