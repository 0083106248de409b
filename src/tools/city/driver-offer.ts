import type { Trip } from '@contracts/trips.ts';
import { countFailure } from './city-context.ts';
import type { DriverState, PendingOffer } from './driver-state.ts';
import { drawBetween, drawBoolean } from './random-draws.ts';
import { isActiveStatus } from './trip-rules.ts';

const darkMs = { min: 20_000, max: 45_000 };
// A deliberately late accept comes this long after the offer's end, so that clocks can't excuse it.
const lateByMs = 2_000;

/** Accepts at once, declines, or lets it lapse. The trip, when it is this driver's now. */
export async function answerOffer(cab: DriverState, offer: PendingOffer): Promise<Trip | undefined> {
  const { world, random } = cab;
  if (drawBoolean(random, world.behaviour.darkRate)) return ignore(cab, offer);
  if (drawBoolean(random, world.behaviour.declineRate)) return decline(cab, offer);
  return accept(cab, offer);
}

async function accept(cab: DriverState, offer: PendingOffer): Promise<Trip | undefined> {
  const { world, person } = cab;
  const accepted = await person.client.accept(offer.tripId);
  if (accepted.ok) {
    person.recordTrip(accepted.value);
    return accepted.value;
  }
  // The answer may have been lost; then the trip itself says whose it is.
  const trip = await person.readTrip(offer.tripId);
  if (trip.ok && isActiveStatus(trip.value.status)) return trip.value;
  // A card that was declined ends the trip at the last moment.
  countFailure(world, accepted, isExcused(cab, offer) || accepted.code === 'trip.payment_declined');
  return undefined;
}

async function decline(cab: DriverState, offer: PendingOffer): Promise<undefined> {
  const declined = await cab.person.client.decline(offer.tripId, 'too_far');
  if (!declined.ok) countFailure(cab.world, declined, declined.isOutcomeUnknown || isExcused(cab, offer));
}

/** The city disturbed the trip, or an outage was longer than the offer. */
const isExcused = ({ world }: DriverState, offer: PendingOffer): boolean =>
  world.disturbedTripIds.has(offer.tripId) || offer.expiresAtMs <= world.clock.nowMs();

/** Says nothing; half of them try after all when it is too late. */
async function ignore(cab: DriverState, offer: PendingOffer): Promise<Trip | undefined> {
  const { clock, closing, observations } = cab.world;
  const willBeLate = drawBoolean(cab.random, 0.5);
  await goDark(cab);
  if (!willBeLate || closing.aborted || !Number.isFinite(offer.expiresAtMs)) return undefined;
  await clock.sleep(Math.max(0, offer.expiresAtMs + lateByMs - clock.nowMs()), closing);
  const late = await cab.person.client.accept(offer.tripId);
  if (!late.ok) {
    countFailure(cab.world, late, true);
    return undefined;
  }
  observations.addViolation(
    'late_accept',
    offer.tripId,
    `accepted ${lateByMs} ms or more after the offer's end`,
  );
  return late.value;
}

/** No positions, no connection, no answers for a while; then back at work. */
export async function goDark(cab: DriverState): Promise<void> {
  const { world, person, random } = cab;
  cab.mode = 'dark';
  await person.live.close();
  await world.clock.sleep(drawBetween(random, darkMs.min, darkMs.max), world.closing);
  if (world.closing.aborted) return;
  const status = await person.client.setStatus('available');
  if (!status.ok) countFailure(world, status, false);
  cab.mode = 'idle';
  await cab.reporter.reportNow();
  await person.live.open();
}
