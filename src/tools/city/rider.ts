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

/** Sets up a rider with a card and a live connection; undefined if the server rejects a step. */
export async function startCityRider(
  context: CityContext,
  person: CityPerson,
  index: number,
): Promise<CityRider | undefined> {
  const token = cardOf(
    createLabelledRandom(context.seed, `card-${index}`),
    context.behaviour.declinedCardRate,
  );
  const card = await person.client.addCard(token, `${context.runTag}-card-${person.id}`);
  if (!card.ok) {
    countFailure(context, card, false);
    return undefined;
  }
  await person.live.open();
  return { person, cardDeclines: decliningCards.some((card) => card.token === token), rides: new Map() };
}

// The first ends a trip before a driver is assigned; the second leaves a debt after it.
const decliningCards = [
  { token: 'tok_declined', weight: 1 },
  { token: 'tok_no_funds', weight: 1 },
];
// Cards with slow, duplicate or lost provider responses must be captured exactly once like the others.
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
 * quote ▶ create ▶ follow to the end ▶ pay and rate; every guarantee on the way is checked. False if the rider can not
 * take another ride because this one did not end.
 */
export async function runRide(
  context: CityContext,
  rider: CityRider,
  demand: Demand,
  otherPerson: CityPerson | undefined,
): Promise<boolean> {
  const ride = await requestRide(context, rider, demand);
  if (ride === undefined) return true;
  const { plan, tripId } = ride;
  await checkTripCreation(ride);
  await followRide(ride);
  context.startCodes.forget(tripId);
  if (!isFinalStatus(ride.status)) return false;
  const final = await checkEndedTrip(ride);
  if (final === undefined) return false;
  countOutcome(ride, final);
  const privacyChecker = plan.checksPrivacy ? otherPerson : undefined;
  if (privacyChecker !== undefined) await checkTripIsPrivate(ride, privacyChecker);
  if (final.status === 'completed') await payAndRate(ride, final, privacyChecker);
  return true;
}

async function requestRide(
  context: CityContext,
  rider: CityRider,
  demand: Demand,
): Promise<CityRide | undefined> {
  const { clock, tally, runTag, behaviour, seed } = context;
  const { person } = rider;
  const { pickup, dropoff, product, index } = demand;
  const plan = planRide(createLabelledRandom(seed, `ride-${index}`), behaviour.cancelRate);
  const quote = await person.client.quote({ pickup, dropoff, product }, `${runTag}-quote-${index}`);
  if (!quote.ok) {
    countFailure(context, quote, false);
    return undefined;
  }
  const sentAtMs = clock.nowMs();
  const trip = await person.client.createTrip(quote.value.id, createTripKey(context, demand));
  if (!trip.ok) {
    countFailure(context, trip, false);
    return undefined;
  }
  tally.requested++;
  person.recordTrip(trip.value);
  const { id: tripId, status, version, startCode } = trip.value;
  const initialState = { status, version, startCode, wasAssigned: false, paymentEvent: undefined };
  return { context, rider, demand, plan, quote: quote.value, tripId, sentAtMs, ...initialState };
}

const pollSearchingMs = 5_000;
const pollRidingMs = 15_000;
// Searches end by themselves after minutes. A trip that takes longer than this plus the driving time is stuck.
const waitMsMax = 420_000;

/** Handles events, and polls after a while without events, until the trip has ended or the city closes. */
async function followRide(ride: CityRide): Promise<void> {
  const { clock, closing, observations, behaviour } = ride.context;
  const driveMs = (ride.quote.durationSeconds * 4 * 1000) / behaviour.timeScale;
  const untilMs = clock.nowMs() + waitMsMax + driveMs;
  for (;;) {
    await recordProgress(ride);
    if (isFinalStatus(ride.status)) return;
    if (closing.aborted) return abandon(ride);
    if (clock.nowMs() > untilMs) {
      observations.addViolation(
        'not_ended',
        ride.tripId,
        `still ${ride.status} after ${waitMsMax + driveMs} ms`,
      );
      return abandon(ride);
    }
    if (shouldCancel(ride.plan, ride.status)) {
      await cancelRide(ride, 'changed_mind');
      continue;
    }
    const pollMs = isActiveStatus(ride.status) ? pollRidingMs : pollSearchingMs;
    applyEvent(ride, await ride.rider.person.events.take(pollMs, closing)) || (await refreshRide(ride));
  }
}

/** Applies an event to the ride; false if the trip must be read instead. */
function applyEvent(ride: CityRide, event: PersonEvent | undefined): boolean {
  if (event === undefined || event.kind === 'lost') return false;
  if (event.kind === 'payment') {
    if (event.payment.tripId === ride.tripId) ride.paymentEvent = event.event;
  } else if (event.trip.tripId === ride.tripId && event.trip.version > ride.version) {
    ride.status = event.trip.status;
    ride.version = event.trip.version;
  }
  return true;
}

async function recordProgress(ride: CityRide): Promise<void> {
  const { tally, clock, startCodes } = ride.context;
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

async function cancelRide(ride: CityRide, reason: string): Promise<void> {
  ride.plan = { ...ride.plan, cancelAtStatus: undefined };
  markDisturbed(ride.context, ride.tripId);
  const reply = await ride.rider.person.client.cancel(ride.tripId, reason);
  if (reply.ok) {
    ride.rider.person.recordTrip(reply.value);
    ({ status: ride.status, version: ride.version } = reply.value);
    return;
  }
  const now = await refreshRide(ride);
  const isDone = reply.isOutcomeUnknown && now?.status === 'cancelled';
  // The ride may have started or ended a moment before.
  if (!isDone) countFailure(ride.context, reply, true);
}

/** Cancels the trip so that it does not keep a driver busy. Failures are ignored because the city is closing. */
async function abandon(ride: CityRide): Promise<void> {
  markDisturbed(ride.context, ride.tripId);
  if (ride.status !== 'in_progress') await ride.rider.person.client.cancel(ride.tripId, 'city_closed');
}

function countOutcome(ride: CityRide, { status, endedBy, reason, driver }: Trip): void {
  const { tally, observations } = ride.context;
  // If the trip was assigned and ended before the rider saw either, the assignment is counted without a time.
  if (driver && !ride.wasAssigned) tally.assigned++;
  if (status === 'completed') tally.completed++;
  if (status === 'cancelled') tally.cancelled++;
  if (status === 'unfulfilled') tally.unfulfilled++;
  if (status === 'completed') return;
  const isForPayment = endedBy === 'system' && reason === 'payment_declined';
  if (isForPayment && !ride.rider.cardDeclines)
    observations.addViolation('not_captured', ride.tripId, 'it was ended because of a valid card');
  // The reason given by an operator is visible to operators only.
  if (reason === null && endedBy !== 'ops')
    observations.addViolation('history', ride.tripId, `${status} without a reason`);
  const by = status === 'cancelled' ? ` by ${endedBy ?? 'nobody'}` : '';
  incrementCount(tally.reasons, `${status}${by}: ${reason ?? 'none'}`);
}
