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
  const { context, rider, plan, quote, tripId, demand } = ride;
  const { observations, tally } = context;
  if (plan.readsBack) await refreshRide(ride);
  if (plan.repeatsCreate) {
    const repeated = await rider.person.client.createTrip(quote.id, createTripKey(context, demand));
    if (!repeated.ok) countFailure(context, repeated, false);
    else if (repeated.value.id !== tripId)
      observations.addViolation('idempotency', tripId, `repeating the create made trip ${repeated.value.id}`);
  }
  if (plan.misusesKey) {
    const otherQuoteId = tripId;
    const other = await rider.person.client.createTrip(otherQuoteId, createTripKey(context, demand));
    if (other.ok)
      observations.addViolation('idempotency', tripId, 'its idempotency key was accepted with another body');
    else if (other.status === 422) incrementCount(tally.provoked, other.code);
    else countFailure(context, other, false);
  }
}

const rememberedTripsMax = 50;

/** Reads the final trip and its history, and checks them against everything that was seen of it. */
export async function checkEndedTrip(ride: CityRide): Promise<Trip | undefined> {
  const { context, rider, tripId } = ride;
  const final = await refreshRide(ride);
  if (final === undefined) return undefined;
  context.observations.recordEnd('rider', final);
  rider.rides.set(tripId, final.status);
  const [oldest] = rider.rides.keys();
  if (rider.rides.size > rememberedTripsMax && oldest !== undefined) rider.rides.delete(oldest);
  const history = await rider.person.client.history(tripId);
  if (history.ok) context.observations.checkHistory(final, history.value.items);
  else countFailure(context, history, false);
  return final;
}

/** Checks that other people can not read the trip. */
export async function checkTripIsPrivate(
  { context, tripId }: CityRide,
  otherPerson: CityPerson,
): Promise<void> {
  expectRejection(context, tripId, await otherPerson.client.trip(tripId));
}

/** Checks that other people can not read the payment, and that its rider reads the same as on the receipt. */
export async function checkPaymentIsPrivate(
  { context, rider, tripId }: CityRide,
  receipt: Receipt,
  otherPerson: CityPerson,
): Promise<void> {
  expectRejection(context, tripId, await otherPerson.client.payment(receipt.paymentId));
  const own = await rider.person.client.payment(receipt.paymentId);
  if (!own.ok) return countFailure(context, own, false);
  const { amount, status } = own.value;
  const isSame = status === receipt.status && amount.amountMinor === receipt.total.amountMinor;
  if (!isSame) context.observations.addViolation('views_differ', tripId, 'payment and receipt differ');
}

function expectRejection(context: CityContext, tripId: TripId, reply: ApiReply<unknown>): void {
  if (reply.ok) context.observations.addViolation('seen_by_stranger', tripId, 'another person could read it');
  else countFailure(context, reply, true);
}

/** Checks at the end of the run that each rider's list contains the ended trips with their final status. */
export async function checkTripList(context: CityContext, { person, rides }: CityRider): Promise<void> {
  if (rides.size === 0) return;
  const list = await person.client.trips(100);
  if (!list.ok) return countFailure(context, list, false);
  const listed = new Map<TripId, Trip>(list.value.items.map((trip) => [trip.id, trip]));
  for (const [tripId, status] of rides) {
    const trip = listed.get(tripId);
    if (trip === undefined)
      context.observations.addViolation(
        'acknowledged_lost',
        tripId,
        'it is missing from the list of its rider',
      );
    else if (trip.status !== status)
      context.observations.addViolation(
        'views_differ',
        tripId,
        `ended as ${status}, the list says ${trip.status}`,
      );
  }
}
