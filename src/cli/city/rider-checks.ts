import type { TripId } from '@contracts/ids.ts';
import type { Receipt } from '@contracts/payments.ts';
import type { Trip } from '@contracts/trips.ts';
import type { Reply } from './http.ts';
import type { Person } from './person.ts';
import { createKey, look, type Ride, type Rider } from './ride.ts';
import { count } from './tally.ts';
import { noteRefusal, type World } from './world.ts';

/** The same key must give the same trip, another body under it none, and a new trip must be readable at once. */
export async function probeCreate(ride: Ride): Promise<void> {
  const { world, rider, plan, quote, tripId, demand } = ride;
  const { observations, tally } = world;
  if (plan.readsBack) await look(ride);
  if (plan.repeatsCreate) {
    const again = await rider.person.client.createTrip(quote.id, createKey(world, demand));
    if (!again.ok) noteRefusal(world, again, false);
    else if (again.value.id !== tripId)
      observations.violate('idempotency', tripId, `the same create again made ${again.value.id}`);
  }
  if (plan.misusesKey) {
    const otherQuoteId = tripId;
    const other = await rider.person.client.createTrip(otherQuoteId, createKey(world, demand));
    if (other.ok) observations.violate('idempotency', tripId, `its key was taken for another body`);
    else if (other.status === 422) count(tally.provoked, other.code);
    else noteRefusal(world, other, false);
  }
}

const ridesRemembered = 50;

/** Reads how the trip ended and its history, and checks them against all that was seen of it. */
export async function closeTrip(ride: Ride): Promise<Trip | undefined> {
  const { world, rider, tripId } = ride;
  const final = await look(ride);
  if (final === undefined) return undefined;
  world.observations.ended('rider', final);
  rider.rides.set(tripId, final.status);
  const [oldest] = rider.rides.keys();
  if (rider.rides.size > ridesRemembered && oldest !== undefined) rider.rides.delete(oldest);
  const history = await rider.person.client.history(tripId);
  if (history.ok) world.observations.history(final, history.value.items);
  else noteRefusal(world, history, false);
  return final;
}

/** Nobody but its people sees a trip. */
export async function probeTrip({ world, tripId }: Ride, stranger: Person): Promise<void> {
  refuses(world, tripId, await stranger.client.trip(tripId));
}

/** Nor its payment, which its rider reads as the receipt tells it. */
export async function probePayment(
  { world, rider, tripId }: Ride,
  receipt: Receipt,
  stranger: Person,
): Promise<void> {
  refuses(world, tripId, await stranger.client.payment(receipt.paymentId));
  const own = await rider.person.client.payment(receipt.paymentId);
  if (!own.ok) return noteRefusal(world, own, false);
  const { amount, status } = own.value;
  const isSame = status === receipt.status && amount.amountMinor === receipt.total.amountMinor;
  if (!isSame)
    world.observations.violate('views_differ', tripId, 'payment and receipt tell different things');
}

function refuses(world: World, tripId: TripId, reply: Reply<unknown>): void {
  if (reply.ok) world.observations.violate('seen_by_stranger', tripId, 'a stranger read it');
  else noteRefusal(world, reply, true);
}

/** At the very end each rider looks at the list again: what was acknowledged and ended must be there, as it ended. */
export async function rollCall(world: World, { person, rides }: Rider): Promise<void> {
  if (rides.size === 0) return;
  const list = await person.client.trips(100);
  if (!list.ok) return noteRefusal(world, list, false);
  const listed = new Map<TripId, Trip>(list.value.items.map((trip) => [trip.id, trip]));
  for (const [tripId, status] of rides) {
    const trip = listed.get(tripId);
    if (trip === undefined)
      world.observations.violate('acknowledged_lost', tripId, `its rider's list does not have it`);
    else if (trip.status !== status)
      world.observations.violate('views_differ', tripId, `ended as ${status}, the list says ${trip.status}`);
  }
}
