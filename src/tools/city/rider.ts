import type { Trip } from '@contracts/trips.ts';
import type { Random } from '@platform/random.ts';
import { type CityContext, countFailure, markDisturbed } from './city-context.ts';
import type { Demand } from './demand.ts';
import type { CityPerson, PersonEvent } from './person.ts';
import { createLabelledRandom, drawBoolean, pickWeighted } from './random-draws.ts';
import { type CityRide, type CityRider, createTripKey, refreshRide } from './ride.ts';
import { checkEndedTrip, checkTripCreation, checkTripIsPrivate } from './rider-checks.ts';
import { payAndRate } from './rider-payment.ts';
import { planRide, shouldCancel } from './rider-plan.ts';
import { incrementCount } from './tally.ts';
import { isActiveStatus, isFinalStatus } from './trip-rules.ts';

/** A rider who can pay; undefined when the server would not have it. */
export async function startCityRider(
  world: CityContext,
  person: CityPerson,
  index: number,
): Promise<CityRider | undefined> {
  const token = cardOf(createLabelledRandom(world.seed, `card-${index}`), world.behaviour.declinedCardRate);
  const card = await person.client.addCard(token, `${world.runTag}-card-${person.id}`);
  if (!card.ok) {
    countFailure(world, card, false);
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
  pickWeighted(drawBoolean(random, declinedCardRate) ? decliningCards : cards, random).token;

/**
 * quote ▶ create ▶ follow to its end ▶ pay and rate; every promise on the way is checked. False when
 * the rider can't take another one, since this one did not end.
 */
export async function runRide(
  world: CityContext,
  rider: CityRider,
  demand: Demand,
  stranger: CityPerson | undefined,
): Promise<boolean> {
  const ride = await request(world, rider, demand);
  if (ride === undefined) return true;
  const { plan, tripId } = ride;
  await checkTripCreation(ride);
  await follow(ride);
  world.startCodes.forget(tripId);
  if (!isFinalStatus(ride.status)) return false;
  const final = await checkEndedTrip(ride);
  if (final === undefined) return false;
  countEnd(ride, final);
  const probe = plan.checksPrivacy ? stranger : undefined;
  if (probe !== undefined) await checkTripIsPrivate(ride, probe);
  if (final.status === 'completed') await payAndRate(ride, final, probe);
  return true;
}

async function request(world: CityContext, rider: CityRider, demand: Demand): Promise<CityRide | undefined> {
  const { clock, tally, runTag, behaviour, seed } = world;
  const { person } = rider;
  const { pickup, dropoff, product, index } = demand;
  const plan = planRide(createLabelledRandom(seed, `ride-${index}`), behaviour.cancelRate);
  const quote = await person.client.quote({ pickup, dropoff, product }, `${runTag}-quote-${index}`);
  if (!quote.ok) {
    countFailure(world, quote, false);
    return undefined;
  }
  const sentAtMs = clock.nowMs();
  const trip = await person.client.createTrip(quote.value.id, createTripKey(world, demand));
  if (!trip.ok) {
    countFailure(world, trip, false);
    return undefined;
  }
  tally.requested++;
  person.recordTrip(trip.value);
  const { id: tripId, status, version, startCode } = trip.value;
  const known = { status, version, startCode, wasAssigned: false, paymentEvent: undefined };
  return { world, rider, demand, plan, quote: quote.value, tripId, sentAtMs, ...known };
}

const pollSearchingMs = 5_000;
const pollRidingMs = 15_000;
// Searches end after minutes by themselves; what takes longer than this beside the driving is stuck.
const waitMsMax = 420_000;

/** Listens, and asks when nothing was heard for a while, until the trip has ended or the city closes. */
async function follow(ride: CityRide): Promise<void> {
  const { clock, closing, observations, behaviour } = ride.world;
  const driveMs = (ride.quote.durationSeconds * 4 * 1000) / behaviour.timeScale;
  const untilMs = clock.nowMs() + waitMsMax + driveMs;
  for (;;) {
    await noteProgress(ride);
    if (isFinalStatus(ride.status)) return;
    if (closing.aborted) return leave(ride);
    if (clock.nowMs() > untilMs) {
      observations.addViolation(
        'not_ended',
        ride.tripId,
        `still ${ride.status} after ${waitMsMax + driveMs} ms`,
      );
      return leave(ride);
    }
    if (shouldCancel(ride.plan, ride.status)) {
      await cancel(ride, 'changed_mind');
      continue;
    }
    const pollMs = isActiveStatus(ride.status) ? pollRidingMs : pollSearchingMs;
    hear(ride, await ride.rider.person.events.take(pollMs, closing)) || (await refreshRide(ride));
  }
}

/** True when the news was of use, or of something else; false when the trip has to be asked for. */
function hear(ride: CityRide, news: PersonEvent | undefined): boolean {
  if (news === undefined || news.kind === 'lost') return false;
  if (news.kind === 'payment') {
    if (news.payment.tripId === ride.tripId) ride.paymentEvent = news.event;
  } else if (news.trip.tripId === ride.tripId && news.trip.version > ride.version) {
    ride.status = news.trip.status;
    ride.version = news.trip.version;
  }
  return true;
}

async function noteProgress(ride: CityRide): Promise<void> {
  const { tally, clock, startCodes } = ride.world;
  if (!isActiveStatus(ride.status) && ride.status !== 'completed') return;
  if (!ride.wasAssigned) {
    ride.wasAssigned = true;
    tally.assigned++;
    tally.assignMs.add(clock.nowMs() - ride.sentAtMs);
  }
  if (ride.startCode === undefined && ride.status === 'arrived') await refreshRide(ride);
  if (ride.startCode !== undefined) startCodes.share(ride.tripId, ride.startCode);
  else if (ride.status === 'arrived') incrementCount(tally.errors, 'city.start_code_missing');
}

async function cancel(ride: CityRide, reason: string): Promise<void> {
  ride.plan = { ...ride.plan, cancelAtStatus: undefined };
  markDisturbed(ride.world, ride.tripId);
  const reply = await ride.rider.person.client.cancel(ride.tripId, reason);
  if (reply.ok) {
    ride.rider.person.recordTrip(reply.value);
    ({ status: ride.status, version: ride.version } = reply.value);
    return;
  }
  const now = await refreshRide(ride);
  const isDone = reply.isOutcomeUnknown && now?.status === 'cancelled';
  // The ride may have begun, or ended, a moment before.
  if (!isDone) countFailure(ride.world, reply, true);
}

/** Leaves no trip behind that would keep a driver busy; whether it works is not this city's business any more. */
async function leave(ride: CityRide): Promise<void> {
  markDisturbed(ride.world, ride.tripId);
  if (ride.status !== 'in_progress') await ride.rider.person.client.cancel(ride.tripId, 'city_closed');
}

function countEnd(ride: CityRide, { status, endedBy, reason, driver }: Trip): void {
  const { tally, observations } = ride.world;
  // Assigned and ended before the rider heard of either: without a time, but assigned.
  if (driver && !ride.wasAssigned) tally.assigned++;
  if (status === 'completed') tally.completed++;
  if (status === 'cancelled') tally.cancelled++;
  if (status === 'unfulfilled') tally.unfulfilled++;
  if (status === 'completed') return;
  const isForPayment = endedBy === 'system' && reason === 'payment_declined';
  if (isForPayment && !ride.rider.cardDeclines)
    observations.addViolation('not_captured', ride.tripId, 'it was ended for a card that is good');
  // Why an operator ended a trip is for operators.
  if (reason === null && endedBy !== 'ops')
    observations.addViolation('history', ride.tripId, `${status} without a reason`);
  const by = status === 'cancelled' ? ` by ${endedBy ?? 'nobody'}` : '';
  incrementCount(tally.reasons, `${status}${by}: ${reason ?? 'none'}`);
}
