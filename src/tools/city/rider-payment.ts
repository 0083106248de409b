import type { Receipt } from '@contracts/payments.ts';
import type { Trip } from '@contracts/trips.ts';
import { addBounded } from './bounded-set.ts';
import { countFailure, rememberedTripsMax } from './city-context.ts';
import type { CityPerson } from './person.ts';
import type { CityRide } from './ride.ts';
import { checkPaymentIsPrivate } from './rider-checks.ts';
import { incrementCount } from './tally.ts';

// The simulated provider may time out and be asked again; a receipt without money after this is wrong.
const captureTimeoutMs = 120_000;
const pollMs = 5_000;

/** Waits for the money, checks that the receipt takes no more than the quote, and rates the ride. */
export async function payAndRate(
  ride: CityRide,
  final: Trip,
  stranger: CityPerson | undefined,
): Promise<void> {
  const { world, plan, rider } = ride;
  const receipt = await settledReceipt(ride);
  const isSettled = receipt?.status === 'captured' || receipt?.status === 'failed';
  // A city that closes in between does not wait for it.
  if (isSettled || !world.closing.aborted) judgePayment(ride, receipt);
  if (receipt !== undefined) {
    world.observations.checkReceipt(final, ride.quote.fare, receipt);
    if (stranger !== undefined) await checkPaymentIsPrivate(ride, receipt, stranger);
    if (receipt.status === 'failed') await payDebt(ride, receipt);
  }
  if (plan.stars === undefined || world.closing.aborted) return;
  const key = `${world.runTag}-rating-rider-${final.id}`;
  const rated = await rider.person.client.rate(final.id, plan.stars, key);
  if (!rated.ok) countFailure(world, rated, rated.isOutcomeUnknown);
}

/**
 * A ride is paid, unless the city gave its rider a card that the provider declines: then it is a debt, which
 * they pay with another card. Its driver has the fare either way.
 */
function judgePayment({ world, rider, tripId }: CityRide, receipt: Receipt | undefined): void {
  const { tally, observations, creditedTripIds } = world;
  const status = receipt?.status ?? 'without a receipt';
  if (status === 'captured' || status === 'failed') addBounded(creditedTripIds, tripId, rememberedTripsMax);
  if (status === 'captured') tally.captured++;
  if (status === 'failed' && rider.cardDeclines)
    incrementCount(tally.reasons, 'unpaid at first: card declined');
  else if (status !== 'captured')
    observations.addViolation('not_captured', tripId, `its payment is ${status}`);
}

async function payDebt({ world, rider, tripId }: CityRide, { paymentId }: Receipt): Promise<void> {
  const { client } = rider.person;
  const card = await client.addCard('tok_visa', `${world.runTag}-other-card-${paymentId}`);
  if (!card.ok) return countFailure(world, card, false);
  rider.cardDeclines = false;
  const paid = await client.pay(paymentId, card.value.id, `${world.runTag}-pay-${paymentId}`);
  if (!paid.ok) return countFailure(world, paid, paid.isOutcomeUnknown);
  if (paid.value.status === 'captured') world.tally.captured++;
  else
    world.observations.addViolation(
      'not_captured',
      tripId,
      `paid by another card, it is ${paid.value.status}`,
    );
}

/** The receipt once the payment is captured or has failed; the last one seen when that takes too long. */
async function settledReceipt(ride: CityRide): Promise<Receipt | undefined> {
  const { clock, closing } = ride.world;
  const untilMs = clock.nowMs() + captureTimeoutMs;
  let last: Receipt | undefined;
  while (clock.nowMs() < untilMs && !closing.aborted) {
    await awaitPaymentNews(ride);
    const reply = await ride.rider.person.client.receipt(ride.tripId);
    if (reply.ok) {
      last = reply.value;
      if (last.status === 'captured' || last.status === 'failed') return last;
    } else if (reply.status !== 404 && reply.status !== 409) {
      countFailure(ride.world, reply, false);
    }
    // Told of the money, yet it is not on the receipt: ask again soon, not at once.
    if (ride.paymentEvent !== undefined) await clock.sleep(500, closing);
  }
  return last;
}

/** Until the payment is spoken of, or it is time to ask. */
async function awaitPaymentNews(ride: CityRide): Promise<void> {
  const { clock, closing } = ride.world;
  const untilMs = clock.nowMs() + pollMs;
  while (ride.paymentEvent === undefined && clock.nowMs() < untilMs && !closing.aborted) {
    const news = await ride.rider.person.events.take(untilMs - clock.nowMs(), closing);
    if (news?.kind === 'payment' && news.payment.tripId === ride.tripId) ride.paymentEvent = news.event;
    if (news?.kind === 'lost') return;
  }
}
