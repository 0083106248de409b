import type { Trip, TripStatus } from '@contracts/trips.ts';
import { addBounded } from './bounded-set.ts';
import { countFailure, markDisturbed } from './city-context.ts';
import { type DriverState, recordOffer } from './driver-state.ts';
import type { ApiReply } from './http.ts';
import { drawBetween, drawBoolean } from './random-draws.ts';
import { isActiveStatus, isFinalStatus } from './trip-rules.ts';

// Of all cancellations, the share that comes from the driver.
const driverCancelShare = 1 / 3;
const ratingRate = 0.5;
// Fewer than the account shows at once.
const ridesRemembered = 50;
const codeTimeoutMs = 120_000;
const troublesMax = 20;
const troublePauseMs = 1_500;
const order: readonly TripStatus[] = ['assigned', 'arrived', 'in_progress', 'completed'];

/**
 * Drives an assigned trip to its end, from whatever state it is in; returns when it is over.
 *
 *   assigned ─ drive to the pickup ▶ arrived ─ the rider tells the code ▶ in_progress ─ drive ▶ completed
 */
export async function driveTrip(cab: DriverState, accepted: Trip): Promise<void> {
  const { clock, behaviour, closing, observations } = cab.world;
  const cancels = drawBoolean(cab.random, behaviour.cancelRate * driverCancelShare);
  const cancelsAt = cancels ? cab.random.next() : undefined;
  let trip = accepted;
  // `serving` is gone when the trip is theirs no more: it was given to another driver.
  for (
    let troubles = 0;
    isActiveStatus(trip.status) && cab.currentTripId !== undefined && !closing.aborted;
  ) {
    const next = await step(cab, trip, cancelsAt);
    if (next === undefined || next.version <= trip.version) {
      // What went wrong is counted already; the truth is asked again, for some time.
      if (++troubles > troublesMax) break;
      await clock.sleep(troublePauseMs, closing);
    }
    trip = next ?? trip;
  }
  cab.motion.stop();
  if (!isFinalStatus(trip.status)) return;
  const final = await read(cab, trip);
  if (final === undefined) return;
  observations.recordEnd('driver', final);
  if (final.status === 'completed') addBounded(cab.completed, final.id, ridesRemembered);
  if (final.status === 'completed' && drawBoolean(cab.random, ratingRate)) await rate(cab, final);
}

async function rate(cab: DriverState, trip: Trip): Promise<void> {
  const stars = 3 + Math.floor(cab.random.next() * 3);
  const rated = await cab.person.client.rate(trip.id, stars, `${cab.world.runTag}-rating-driver-${trip.id}`);
  if (!rated.ok) countFailure(cab.world, rated, rated.isOutcomeUnknown);
}

/** The trip after its next step, or as it stands; undefined when that can't be known now. */
async function step(cab: DriverState, trip: Trip, cancelsAt: number | undefined): Promise<Trip | undefined> {
  switch (trip.status) {
    case 'assigned':
      return approach(cab, trip, cancelsAt);
    case 'arrived':
      return board(cab, trip);
    case 'in_progress':
      return ride(cab, trip);
    default:
      return trip;
  }
}

async function approach(
  cab: DriverState,
  trip: Trip,
  cancelsAt: number | undefined,
): Promise<Trip | undefined> {
  const ended = await drive(cab, trip, trip.pickup, cancelsAt ?? 1);
  if (cab.world.closing.aborted) return trip;
  if (ended) return read(cab, trip);
  if (cancelsAt !== undefined) return cancel(cab, trip, 'vehicle_trouble');
  await cab.reporter.reportNow();
  return settle(cab, trip, 'arrived', await cab.person.client.arrive(trip.id));
}

async function board(cab: DriverState, trip: Trip): Promise<Trip | undefined> {
  const { clock, behaviour, startCodes, closing } = cab.world;
  await clock.sleep((drawBetween(cab.random, 10, 40) * 1000) / behaviour.timeScale, closing);
  const code = await startCodes.waitFor(trip.id, codeTimeoutMs, closing);
  if (closing.aborted) return trip;
  if (code !== undefined)
    return settle(cab, trip, 'in_progress', await cab.person.client.start(trip.id, code));
  const now = await read(cab, trip);
  // A rider who is not one of ours, or who never came.
  return now?.status === 'arrived' ? cancel(cab, now, 'rider_absent') : now;
}

async function ride(cab: DriverState, trip: Trip): Promise<Trip | undefined> {
  const ended = await drive(cab, trip, trip.dropoff, 1);
  if (cab.world.closing.aborted) return trip;
  if (ended) return read(cab, trip);
  await cab.reporter.reportNow();
  return settle(cab, trip, 'completed', await cab.person.client.complete(trip.id));
}

async function cancel(cab: DriverState, trip: Trip, reason: string): Promise<Trip | undefined> {
  markDisturbed(cab.world, trip.id);
  return settle(cab, trip, 'cancelled', await cab.person.client.cancel(trip.id, reason));
}

/** Goes `share` of the way; true when the trip ended meanwhile. */
async function drive(cab: DriverState, trip: Trip, target: Trip['pickup'], share: number): Promise<boolean> {
  const { clock, closing } = cab.world;
  cab.motion.driveTo(target, cab.random);
  const untilMs = clock.nowMs() + cab.motion.remainingMs() * share;
  for (;;) {
    const leftMs = untilMs - clock.nowMs();
    if (leftMs <= 0 || closing.aborted) return false;
    const news = await cab.person.events.take(leftMs, closing);
    if (news === undefined) continue;
    const isOver =
      news.kind === 'trip' && (isFinalStatus(news.trip.status) || news.event === 'trip.driver_replaced');
    if (isOver && news.trip.tripId === trip.id) return true;
    recordOffer(cab, news);
  }
}

/** What a command came to. After a lost answer the trip itself tells whether it was carried out. */
async function settle(
  cab: DriverState,
  trip: Trip,
  wanted: TripStatus,
  reply: ApiReply<Trip>,
): Promise<Trip | undefined> {
  if (reply.ok) {
    cab.person.recordTrip(reply.value);
    return reply.value;
  }
  const now = await read(cab, trip);
  const isDone = now !== undefined && (now.status === wanted || isPast(now.status, wanted));
  if (reply.isOutcomeUnknown && isDone) return now;
  const isOver = now?.endedBy === 'system' || now?.endedBy === 'ops';
  countFailure(cab.world, reply, cab.world.disturbedTripIds.has(trip.id) || isOver);
  return now;
}

const isPast = (status: TripStatus, wanted: TripStatus): boolean =>
  order.includes(wanted) && order.indexOf(status) > order.indexOf(wanted);

async function read(cab: DriverState, trip: Trip): Promise<Trip | undefined> {
  const reply = await cab.person.readTrip(trip.id);
  if (reply.ok) return reply.value;
  if (reply.status === 404) cab.currentTripId = undefined;
  countFailure(cab.world, reply, false);
  return undefined;
}
