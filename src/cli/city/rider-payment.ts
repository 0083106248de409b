import type { Receipt } from '@contracts/payments.ts';
import type { Trip } from '@contracts/trips.ts';
import type { Person } from './person.ts';
import { remember } from './remember.ts';
import type { Ride } from './ride.ts';
import { probePayment } from './rider-checks.ts';
import { count } from './tally.ts';
import { noteRefusal, tripsRemembered } from './world.ts';

// The simulated provider may time out and be asked again; a receipt without money after this is wrong.
const captureTimeoutMs = 120_000;
const pollMs = 5_000;

/** Waits for the money, checks that the receipt takes no more than the quote, and rates the ride. */
export async function payAndRate(ride: Ride, final: Trip, stranger: Person | undefined): Promise<void> {
  const { world, plan, rider } = ride;
  const receipt = await settledReceipt(ride);
  const isSettled = receipt?.status === 'captured' || receipt?.status === 'failed';
  // A city that closes in between does not wait for it.
  if (isSettled || !world.closing.aborted) judgePayment(ride, receipt);
  if (receipt !== undefined) {
    world.observations.receipt(final, ride.quote.fare, receipt);
    if (stranger !== undefined) await probePayment(ride, receipt, stranger);
    if (receipt.status === 'failed') await payDebt(ride, receipt);
  }
  if (plan.stars === undefined || world.closing.aborted) return;
  const key = `${world.runTag}-rating-rider-${final.id}`;
  const rated = await rider.person.client.rate(final.id, plan.stars, key);
  if (!rated.ok) noteRefusal(world, rated, rated.uncertain);
}

/**
 * A ride is paid, unless the city gave its rider a card that the provider declines: then it is a debt, which
 * they pay with another card. Its driver has the fare either way.
 */
function judgePayment({ world, rider, tripId }: Ride, receipt: Receipt | undefined): void {
  const { tally, observations, credited } = world;
  const status = receipt?.status ?? 'without a receipt';
  if (status === 'captured' || status === 'failed') remember(credited, tripId, tripsRemembered);
  if (status === 'captured') tally.captured++;
  if (status === 'failed' && rider.cardDeclines) count(tally.reasons, 'unpaid at first: card declined');
  else if (status !== 'captured') observations.violate('not_captured', tripId, `its payment is ${status}`);
}

async function payDebt({ world, rider, tripId }: Ride, { paymentId }: Receipt): Promise<void> {
  const { client } = rider.person;
  const card = await client.addCard('tok_visa', `${world.runTag}-other-card-${paymentId}`);
  if (!card.ok) return noteRefusal(world, card, false);
  rider.cardDeclines = false;
  const paid = await client.pay(paymentId, card.value.id, `${world.runTag}-pay-${paymentId}`);
  if (!paid.ok) return noteRefusal(world, paid, paid.uncertain);
  if (paid.value.status === 'captured') world.tally.captured++;
  else world.observations.violate('not_captured', tripId, `paid by another card, it is ${paid.value.status}`);
}

/** The receipt once the payment is captured or has failed; the last one seen when that takes too long. */
async function settledReceipt(ride: Ride): Promise<Receipt | undefined> {
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
      noteRefusal(ride.world, reply, false);
    }
    // Told of the money, yet it is not on the receipt: ask again soon, not at once.
    if (ride.paymentNews !== undefined) await clock.sleep(500, closing);
  }
  return last;
}

/** Until the payment is spoken of, or it is time to ask. */
async function awaitPaymentNews(ride: Ride): Promise<void> {
  const { clock, closing } = ride.world;
  const untilMs = clock.nowMs() + pollMs;
  while (ride.paymentNews === undefined && clock.nowMs() < untilMs && !closing.aborted) {
    const news = await ride.rider.person.news.take(untilMs - clock.nowMs(), closing);
    if (news?.kind === 'payment' && news.payment.tripId === ride.tripId) ride.paymentNews = news.event;
    if (news?.kind === 'lost') return;
  }
}
