import type { Trip, TripStatus } from '@contracts/trips.ts';
import { addBounded } from './bounded-set.ts';
import { countFailure, markDisturbed } from './city-context.ts';
import { type DriverState, recordOffer } from './driver-state.ts';
import type { ApiReply } from './http.ts';
import { drawBetween, drawBoolean } from './random-draws.ts';
import { isActiveStatus, isFinalStatus } from './trip-rules.ts';

// The share of cancellations that come from the driver.
const driverCancelShare = 1 / 3;
const ratingRate = 0.5;
// Fewer than one page of the earnings shows.
const rememberedTripsMax = 50;
const codeTimeoutMs = 120_000;
const failuresMax = 20;
const failurePauseMs = 1_500;
const statusOrder: readonly TripStatus[] = ['assigned', 'arrived', 'in_progress', 'completed'];

/**
 * Drives an assigned trip to its end from any active status; returns when it is over.
 *
 *   assigned ─ drive to the pickup ▶ arrived ─ the rider shares the start code ▶ in_progress ─ drive ▶ completed
 */
export async function driveTrip(driver: DriverState, accepted: Trip): Promise<void> {
  const { clock, behaviour, closing, observations } = driver.context;
  const cancels = drawBoolean(driver.random, behaviour.cancelRate * driverCancelShare);
  const cancelAtShare = cancels ? driver.random.next() : undefined;
  let trip = accepted;
  // `currentTripId` is cleared when the trip is no longer theirs because it was reassigned.
  for (
    let failures = 0;
    isActiveStatus(trip.status) && driver.currentTripId !== undefined && !closing.aborted;
  ) {
    const next = await advance(driver, trip, cancelAtShare);
    if (next === undefined || next.version <= trip.version) {
      // The failure is already counted. The trip is read again, a limited number of times.
      if (++failures > failuresMax) break;
      await clock.sleep(failurePauseMs, closing);
    }
    trip = next ?? trip;
  }
  driver.motion.stop();
  if (!isFinalStatus(trip.status)) return;
  const final = await readTrip(driver, trip);
  if (final === undefined) return;
  observations.recordEnd('driver', final);
  if (final.status === 'completed') addBounded(driver.completed, final.id, rememberedTripsMax);
  if (final.status === 'completed' && drawBoolean(driver.random, ratingRate)) await rateTrip(driver, final);
}

async function rateTrip(driver: DriverState, trip: Trip): Promise<void> {
  const stars = 3 + Math.floor(driver.random.next() * 3);
  const rated = await driver.person.client.rate(
    trip.id,
    stars,
    `${driver.context.runTag}-rating-driver-${trip.id}`,
  );
  if (!rated.ok) countFailure(driver.context, rated, rated.isOutcomeUnknown);
}

/** Returns the trip after its next step, or its current state; undefined if that can not be read now. */
async function advance(
  driver: DriverState,
  trip: Trip,
  cancelAtShare: number | undefined,
): Promise<Trip | undefined> {
  switch (trip.status) {
    case 'assigned':
      return driveToPickup(driver, trip, cancelAtShare);
    case 'arrived':
      return startRide(driver, trip);
    case 'in_progress':
      return driveToDropoff(driver, trip);
    default:
      return trip;
  }
}

async function driveToPickup(
  driver: DriverState,
  trip: Trip,
  cancelAtShare: number | undefined,
): Promise<Trip | undefined> {
  const ended = await drive(driver, trip, trip.pickup, cancelAtShare ?? 1);
  if (driver.context.closing.aborted) return trip;
  if (ended) return readTrip(driver, trip);
  if (cancelAtShare !== undefined) return cancelTrip(driver, trip, 'vehicle_trouble');
  await driver.reporter.reportNow();
  return resolveReply(driver, trip, 'arrived', await driver.person.client.arrive(trip.id));
}

async function startRide(driver: DriverState, trip: Trip): Promise<Trip | undefined> {
  const { clock, behaviour, startCodes, closing } = driver.context;
  await clock.sleep((drawBetween(driver.random, 10, 40) * 1000) / behaviour.timeScale, closing);
  const code = await startCodes.waitFor(trip.id, codeTimeoutMs, closing);
  if (closing.aborted) return trip;
  if (code !== undefined)
    return resolveReply(driver, trip, 'in_progress', await driver.person.client.start(trip.id, code));
  const now = await readTrip(driver, trip);
  // The rider is not part of this city, or never appeared.
  return now?.status === 'arrived' ? cancelTrip(driver, now, 'rider_absent') : now;
}

async function driveToDropoff(driver: DriverState, trip: Trip): Promise<Trip | undefined> {
  const ended = await drive(driver, trip, trip.dropoff, 1);
  if (driver.context.closing.aborted) return trip;
  if (ended) return readTrip(driver, trip);
  await driver.reporter.reportNow();
  return resolveReply(driver, trip, 'completed', await driver.person.client.complete(trip.id));
}

async function cancelTrip(driver: DriverState, trip: Trip, reason: string): Promise<Trip | undefined> {
  markDisturbed(driver.context, trip.id);
  return resolveReply(driver, trip, 'cancelled', await driver.person.client.cancel(trip.id, reason));
}

/** Drives `share` of the way; true if the trip ended in the meantime. */
async function drive(
  driver: DriverState,
  trip: Trip,
  target: Trip['pickup'],
  share: number,
): Promise<boolean> {
  const { clock, closing } = driver.context;
  driver.motion.driveTo(target, driver.random);
  const untilMs = clock.nowMs() + driver.motion.remainingMs() * share;
  for (;;) {
    const leftMs = untilMs - clock.nowMs();
    if (leftMs <= 0 || closing.aborted) return false;
    const event = await driver.person.events.take(leftMs, closing);
    if (event === undefined) continue;
    const isOver =
      event.kind === 'trip' && (isFinalStatus(event.trip.status) || event.event === 'trip.driver_replaced');
    if (isOver && event.trip.tripId === trip.id) return true;
    recordOffer(driver, event);
  }
}

/** Evaluates the reply to a command. If the response was lost, the trip itself shows whether the command was applied. */
async function resolveReply(
  driver: DriverState,
  trip: Trip,
  expectedStatus: TripStatus,
  reply: ApiReply<Trip>,
): Promise<Trip | undefined> {
  if (reply.ok) {
    driver.person.recordTrip(reply.value);
    return reply.value;
  }
  const now = await readTrip(driver, trip);
  const isDone = now !== undefined && (now.status === expectedStatus || isPast(now.status, expectedStatus));
  if (reply.isOutcomeUnknown && isDone) return now;
  const isOver = now?.endedBy === 'system' || now?.endedBy === 'ops';
  countFailure(driver.context, reply, driver.context.disturbedTripIds.has(trip.id) || isOver);
  return now;
}

const isPast = (status: TripStatus, expectedStatus: TripStatus): boolean =>
  statusOrder.includes(expectedStatus) && statusOrder.indexOf(status) > statusOrder.indexOf(expectedStatus);

async function readTrip(driver: DriverState, trip: Trip): Promise<Trip | undefined> {
  const reply = await driver.person.readTrip(trip.id);
  if (reply.ok) return reply.value;
  if (reply.status === 404) driver.currentTripId = undefined;
  countFailure(driver.context, reply, false);
  return undefined;
}
