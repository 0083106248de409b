import type { Receipt } from '@contracts/payments.ts';
import type { Trip } from '@contracts/trips.ts';
import { addBounded } from './bounded-set.ts';
import { countFailure, rememberedTripsMax } from './city-context.ts';
import type { CityPerson } from './person.ts';
import type { CityRide } from './ride.ts';
import { checkPaymentIsPrivate } from './rider-checks.ts';
import { incrementCount } from './tally.ts';

// The simulated provider may time out and be called again. A receipt that is not settled after this time is a violation.
const captureTimeoutMs = 120_000;
const pollMs = 5_000;

/** Waits for the payment, checks that the receipt is not above the quote, and rates the ride. */
export async function payAndRate(
  ride: CityRide,
  final: Trip,
  otherPerson: CityPerson | undefined,
): Promise<void> {
  const { context, plan, rider } = ride;
  const receipt = await waitForSettledReceipt(ride);
  const isSettled = receipt?.status === 'captured' || receipt?.status === 'failed';
  // A city that is closing does not wait for the payment.
  if (isSettled || !context.closing.aborted) checkPayment(ride, receipt);
  if (receipt !== undefined) {
    context.observations.checkReceipt(final, ride.quote.fare, receipt);
    if (otherPerson !== undefined) await checkPaymentIsPrivate(ride, receipt, otherPerson);
    if (receipt.status === 'failed') await payDebt(ride, receipt);
  }
  if (plan.stars === undefined || context.closing.aborted) return;
  const key = `${context.runTag}-rating-rider-${final.id}`;
  const rated = await rider.person.client.rate(final.id, plan.stars, key);
  if (!rated.ok) countFailure(context, rated, rated.isOutcomeUnknown);
}

/**
 * A ride must be paid, unless the city gave its rider a card that the provider declines. Then it is a debt that the rider
 * pays with another card. The driver is credited either way.
 */
function checkPayment({ context, rider, tripId }: CityRide, receipt: Receipt | undefined): void {
  const { tally, observations, creditedTripIds } = context;
  const status = receipt?.status ?? 'without a receipt';
  if (status === 'captured' || status === 'failed') addBounded(creditedTripIds, tripId, rememberedTripsMax);
  if (status === 'captured') tally.captured++;
  if (status === 'failed' && rider.cardDeclines)
    incrementCount(tally.reasons, 'unpaid at first: card declined');
  else if (status !== 'captured')
    observations.addViolation('not_captured', tripId, `its payment is ${status}`);
}

async function payDebt({ context, rider, tripId }: CityRide, { paymentId }: Receipt): Promise<void> {
  const { client } = rider.person;
  const card = await client.addCard('tok_visa', `${context.runTag}-other-card-${paymentId}`);
  if (!card.ok) return countFailure(context, card, false);
  rider.cardDeclines = false;
  const paid = await client.pay(paymentId, card.value.id, `${context.runTag}-pay-${paymentId}`);
  if (!paid.ok) return countFailure(context, paid, paid.isOutcomeUnknown);
  if (paid.value.status === 'captured') context.tally.captured++;
  else
    context.observations.addViolation(
      'not_captured',
      tripId,
      `paid by another card, it is ${paid.value.status}`,
    );
}

/** Returns the receipt once the payment is captured or has failed, or the last receipt after the timeout. */
async function waitForSettledReceipt(ride: CityRide): Promise<Receipt | undefined> {
  const { clock, closing } = ride.context;
  const untilMs = clock.nowMs() + captureTimeoutMs;
  let last: Receipt | undefined;
  while (clock.nowMs() < untilMs && !closing.aborted) {
    await waitForPaymentEvent(ride);
    const reply = await ride.rider.person.client.receipt(ride.tripId);
    if (reply.ok) {
      last = reply.value;
      if (last.status === 'captured' || last.status === 'failed') return last;
    } else if (reply.status !== 404 && reply.status !== 409) {
      countFailure(ride.context, reply, false);
    }
    // The payment event arrived but the receipt does not show it yet: read again soon, not at once.
    if (ride.paymentEvent !== undefined) await clock.sleep(500, closing);
  }
  return last;
}

/** Waits for a payment event or until it is time to poll. */
async function waitForPaymentEvent(ride: CityRide): Promise<void> {
  const { clock, closing } = ride.context;
  const untilMs = clock.nowMs() + pollMs;
  while (ride.paymentEvent === undefined && clock.nowMs() < untilMs && !closing.aborted) {
    const event = await ride.rider.person.events.take(untilMs - clock.nowMs(), closing);
    if (event?.kind === 'payment' && event.payment.tripId === ride.tripId) ride.paymentEvent = event.event;
    if (event?.kind === 'lost') return;
  }
}
