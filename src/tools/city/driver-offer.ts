import type { Trip } from '@contracts/trips.ts';
import { countFailure } from './city-context.ts';
import type { DriverState, PendingOffer } from './driver-state.ts';
import { drawBetween, drawBoolean } from './random-draws.ts';
import { isActiveStatus } from './trip-rules.ts';

const darkMs = { min: 20_000, max: 45_000 };
// A deliberately late accept is sent this long after the offer expired, more than clocks can differ.
const lateAcceptDelayMs = 2_000;

/** Accepts the offer, declines it or lets it lapse. Returns the trip if it is now assigned to this driver. */
export async function answerOffer(driver: DriverState, offer: PendingOffer): Promise<Trip | undefined> {
  const { context, random } = driver;
  if (drawBoolean(random, context.behaviour.darkRate)) return ignore(driver, offer);
  if (drawBoolean(random, context.behaviour.declineRate)) return decline(driver, offer);
  return accept(driver, offer);
}

async function accept(driver: DriverState, offer: PendingOffer): Promise<Trip | undefined> {
  const { context, person } = driver;
  const accepted = await person.client.accept(offer.tripId);
  if (accepted.ok) {
    person.recordTrip(accepted.value);
    return accepted.value;
  }
  // The response may have been lost. Then the trip itself shows whether it is assigned to this driver.
  const trip = await person.readTrip(offer.tripId);
  if (trip.ok && isActiveStatus(trip.value.status)) return trip.value;
  // A declined card can end the trip at the last moment.
  countFailure(
    context,
    accepted,
    isExpectedFailure(driver, offer) || accepted.code === 'trip.payment_declined',
  );
  return undefined;
}

async function decline(driver: DriverState, offer: PendingOffer): Promise<undefined> {
  const declined = await driver.person.client.decline(offer.tripId, 'too_far');
  if (!declined.ok)
    countFailure(driver.context, declined, declined.isOutcomeUnknown || isExpectedFailure(driver, offer));
}

/** True if the city disturbed the trip, or an outage lasted longer than the offer. */
const isExpectedFailure = ({ context }: DriverState, offer: PendingOffer): boolean =>
  context.disturbedTripIds.has(offer.tripId) || offer.expiresAtMs <= context.clock.nowMs();

/** Does not answer. Half of the drivers try to accept after the offer has expired. */
async function ignore(driver: DriverState, offer: PendingOffer): Promise<Trip | undefined> {
  const { clock, closing, observations } = driver.context;
  const acceptsLate = drawBoolean(driver.random, 0.5);
  await goDark(driver);
  if (!acceptsLate || closing.aborted || !Number.isFinite(offer.expiresAtMs)) return undefined;
  await clock.sleep(Math.max(0, offer.expiresAtMs + lateAcceptDelayMs - clock.nowMs()), closing);
  const lateAccept = await driver.person.client.accept(offer.tripId);
  if (!lateAccept.ok) {
    countFailure(driver.context, lateAccept, true);
    return undefined;
  }
  observations.addViolation(
    'late_accept',
    offer.tripId,
    `accepted ${lateAcceptDelayMs} ms or more after the offer expired`,
  );
  return lateAccept.value;
}

/** Sends no positions, closes the live connection and answers nothing for a while, then returns to work. */
export async function goDark(driver: DriverState): Promise<void> {
  const { context, person, random } = driver;
  driver.mode = 'dark';
  await person.live.close();
  await context.clock.sleep(drawBetween(random, darkMs.min, darkMs.max), context.closing);
  if (context.closing.aborted) return;
  const status = await person.client.setStatus('available');
  if (!status.ok) countFailure(context, status, false);
  driver.mode = 'idle';
  await driver.reporter.reportNow();
  await person.live.open();
}
