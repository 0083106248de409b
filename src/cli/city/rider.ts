import type { Trip } from '@contracts/trips.ts';
import type { Random } from '@platform/random.ts';
import { happens, pickWeighted, randomFor } from './chance.ts';
import type { Demand } from './demand.ts';
import type { News, Person } from './person.ts';
import { createKey, look, type Ride, type Rider } from './ride.ts';
import { closeTrip, probeCreate, probeTrip } from './rider-checks.ts';
import { payAndRate } from './rider-payment.ts';
import { cancelsNow, planRide } from './rider-plan.ts';
import { count } from './tally.ts';
import { hasEnded, isActive } from './trip-rules.ts';
import { noteRefusal, stir, type World } from './world.ts';

/** A rider who can pay; undefined when the server would not have it. */
export async function startRider(world: World, person: Person, index: number): Promise<Rider | undefined> {
  const token = cardOf(randomFor(world.seed, `card-${index}`), world.behaviour.declinedCardRate);
  const card = await person.client.addCard(token, `${world.runTag}-card-${person.id}`);
  if (!card.ok) {
    noteRefusal(world, card, false);
    return undefined;
  }
  await person.live.open();
  return { person, cardDeclines: decliningCards.some((card) => card.token === token), rides: new Map() };
}

// The first ends a trip before a driver is found; the second leaves a debt at its end.
const decliningCards = [
  { token: 'tok_declined', weight: 1 },
  { token: 'tok_no_funds', weight: 1 },
];
// Those that are slow, answer twice or lose an answer must be captured like the others: once.
const cards = [
  { token: 'tok_visa', weight: 6 },
  { token: 'tok_mastercard', weight: 2 },
  { token: 'tok_timeout', weight: 1 },
  { token: 'tok_slow', weight: 1 },
  { token: 'tok_double', weight: 1 },
] as const;

const cardOf = (random: Random, declinedCardRate: number): string =>
  pickWeighted(happens(random, declinedCardRate) ? decliningCards : cards, random).token;

/**
 * quote ▶ create ▶ follow to its end ▶ pay and rate; every promise on the way is checked. False when
 * the rider can't take another one, since this one did not end.
 */
export async function takeRide(
  world: World,
  rider: Rider,
  demand: Demand,
  stranger: Person | undefined,
): Promise<boolean> {
  const ride = await request(world, rider, demand);
  if (ride === undefined) return true;
  const { plan, tripId } = ride;
  await probeCreate(ride);
  await follow(ride);
  world.handover.close(tripId);
  if (!hasEnded(ride.status)) return false;
  const final = await closeTrip(ride);
  if (final === undefined) return false;
  countEnd(ride, final);
  const probe = plan.isProbed ? stranger : undefined;
  if (probe !== undefined) await probeTrip(ride, probe);
  if (final.status === 'completed') await payAndRate(ride, final, probe);
  return true;
}

async function request(world: World, rider: Rider, demand: Demand): Promise<Ride | undefined> {
  const { clock, tally, runTag, behaviour, seed } = world;
  const { person } = rider;
  const { pickup, dropoff, product, index } = demand;
  const plan = planRide(randomFor(seed, `ride-${index}`), behaviour.cancelRate);
  const quote = await person.client.quote({ pickup, dropoff, product }, `${runTag}-quote-${index}`);
  if (!quote.ok) {
    noteRefusal(world, quote, false);
    return undefined;
  }
  const sentAtMs = clock.nowMs();
  const trip = await person.client.createTrip(quote.value.id, createKey(world, demand));
  if (!trip.ok) {
    noteRefusal(world, trip, false);
    return undefined;
  }
  tally.requested++;
  person.saw(trip.value);
  const { id: tripId, status, version, startCode } = trip.value;
  const known = { status, version, startCode, wasAssigned: false, paymentNews: undefined };
  return { world, rider, demand, plan, quote: quote.value, tripId, sentAtMs, ...known };
}

const pollSearchingMs = 5_000;
const pollRidingMs = 15_000;
// Searches end after minutes by themselves; what takes longer than this beside the driving is stuck.
const waitMsMax = 420_000;

/** Listens, and asks when nothing was heard for a while, until the trip has ended or the city closes. */
async function follow(ride: Ride): Promise<void> {
  const { clock, closing, observations, behaviour } = ride.world;
  const driveMs = (ride.quote.durationSeconds * 4 * 1000) / behaviour.timeScale;
  const untilMs = clock.nowMs() + waitMsMax + driveMs;
  for (;;) {
    await noteProgress(ride);
    if (hasEnded(ride.status)) return;
    if (closing.aborted) return leave(ride);
    if (clock.nowMs() > untilMs) {
      observations.violate('not_ended', ride.tripId, `still ${ride.status} after ${waitMsMax + driveMs} ms`);
      return leave(ride);
    }
    if (cancelsNow(ride.plan, ride.status)) {
      await cancel(ride, 'changed_mind');
      continue;
    }
    const pollMs = isActive(ride.status) ? pollRidingMs : pollSearchingMs;
    hear(ride, await ride.rider.person.news.take(pollMs, closing)) || (await look(ride));
  }
}

/** True when the news was of use, or of something else; false when the trip has to be asked for. */
function hear(ride: Ride, news: News | undefined): boolean {
  if (news === undefined || news.kind === 'lost') return false;
  if (news.kind === 'payment') {
    if (news.payment.tripId === ride.tripId) ride.paymentNews = news.event;
  } else if (news.trip.tripId === ride.tripId && news.trip.version > ride.version) {
    ride.status = news.trip.status;
    ride.version = news.trip.version;
  }
  return true;
}

async function noteProgress(ride: Ride): Promise<void> {
  const { tally, clock, handover } = ride.world;
  if (!isActive(ride.status) && ride.status !== 'completed') return;
  if (!ride.wasAssigned) {
    ride.wasAssigned = true;
    tally.assigned++;
    tally.assignMs.add(clock.nowMs() - ride.sentAtMs);
  }
  if (ride.startCode === undefined && ride.status === 'arrived') await look(ride);
  if (ride.startCode !== undefined) handover.tell(ride.tripId, ride.startCode);
  else if (ride.status === 'arrived') count(tally.errors, 'city.start_code_missing');
}

async function cancel(ride: Ride, reason: string): Promise<void> {
  ride.plan = { ...ride.plan, cancelsWhen: undefined };
  stir(ride.world, ride.tripId);
  const reply = await ride.rider.person.client.cancel(ride.tripId, reason);
  if (reply.ok) {
    ride.rider.person.saw(reply.value);
    ({ status: ride.status, version: ride.version } = reply.value);
    return;
  }
  const now = await look(ride);
  const isDone = reply.uncertain && now?.status === 'cancelled';
  // The ride may have begun, or ended, a moment before.
  if (!isDone) noteRefusal(ride.world, reply, true);
}

/** Leaves no trip behind that would keep a driver busy; whether it works is not this city's business any more. */
async function leave(ride: Ride): Promise<void> {
  stir(ride.world, ride.tripId);
  if (ride.status !== 'in_progress') await ride.rider.person.client.cancel(ride.tripId, 'city_closed');
}

function countEnd(ride: Ride, { status, endedBy, reason, driver }: Trip): void {
  const { tally, observations } = ride.world;
  // Assigned and ended before the rider heard of either: without a time, but assigned.
  if (driver && !ride.wasAssigned) tally.assigned++;
  if (status === 'completed') tally.completed++;
  if (status === 'cancelled') tally.cancelled++;
  if (status === 'unfulfilled') tally.unfulfilled++;
  if (status === 'completed') return;
  const isForPayment = endedBy === 'system' && reason === 'payment_declined';
  if (isForPayment && !ride.rider.cardDeclines)
    observations.violate('not_captured', ride.tripId, 'it was ended for a card that is good');
  // Why an operator ended a trip is for operators.
  if (reason === null && endedBy !== 'ops')
    observations.violate('history', ride.tripId, `${status} without a reason`);
  const by = status === 'cancelled' ? ` by ${endedBy ?? 'nobody'}` : '';
  count(tally.reasons, `${status}${by}: ${reason ?? 'none'}`);
}
