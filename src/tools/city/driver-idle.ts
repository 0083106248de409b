import { type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { Trip } from '@contracts/trips.ts';
import type { Random } from '@platform/random.ts';
import { countFailure } from './city-context.ts';
import { type DriverState, type PendingOffer, recordOffer, takeOffer } from './driver-state.ts';
import { drawBetween, drawBoolean } from './random-draws.ts';
import { isActiveStatus } from './trip-rules.ts';

/** Why a driver stops being idle. */
export type IdleOutcome =
  | { kind: 'offer'; offer: PendingOffer }
  /** A trip that is already assigned to this driver: the response to the accept was lost. */
  | { kind: 'found'; trip: Trip }
  | { kind: 'vanish' }
  | { kind: 'closing' };

// After this time without an event, the driver polls the server.
const pollAfterMs = 45_000;
const vanishWithinMs = 20_000;
const decisionIntervalMsMax = 10_000;

/** Cruises until there is something to do. */
export async function waitForWork(driver: DriverState): Promise<IdleOutcome> {
  const { person, random } = driver;
  const { clock, closing, behaviour } = driver.context;
  const vanishes = drawBoolean(random, behaviour.darkRate / 2);
  const vanishAtMs = vanishes ? clock.nowMs() + random.next() * vanishWithinMs : Number.POSITIVE_INFINITY;
  let lastEventAtMs = clock.nowMs();
  for (;;) {
    if (closing.aborted) return { kind: 'closing' };
    const offer = takeOffer(driver);
    if (offer !== undefined) return { kind: 'offer', offer };
    const nowMs = clock.nowMs();
    if (nowMs >= vanishAtMs) return { kind: 'vanish' };
    if (nowMs - lastEventAtMs >= pollAfterMs) {
      const found = await pollForWork(driver);
      if (found !== undefined) return found;
      lastEventAtMs = clock.nowMs();
    }
    const event = await person.events.take(Math.min(cruise(driver), vanishAtMs - nowMs), closing);
    if (event === undefined) continue;
    lastEventAtMs = event.kind === 'lost' ? 0 : clock.nowMs();
    recordOffer(driver, event);
  }
}

/** Keeps driving around; returns the real milliseconds until the next decision. */
function cruise({ motion, random, context }: DriverState): number {
  if (motion.remainingMs() === 0)
    motion.driveTo(nextDestination(motion.position(), context.demand.randomPoint(random), random), random);
  return Math.min(motion.remainingMs() + 1, decisionIntervalMsMax);
}

/** Polls the server for work, in case pushes were missed. */
async function pollForWork(driver: DriverState): Promise<IdleOutcome | undefined> {
  const { person, context } = driver;
  const trips = await person.client.trips(5);
  if (!trips.ok) {
    countFailure(context, trips, false);
    return undefined;
  }
  for (const trip of trips.value.items) {
    if (isActiveStatus(trip.status)) return { kind: 'found', trip };
    const expiresAtMs = trip.offer ? Date.parse(trip.offer.expiresAt) : 0;
    if (trip.status === 'offered' && expiresAtMs > context.clock.nowMs())
      return { kind: 'offer', offer: { tripId: trip.id, expiresAtMs } };
  }
  const status = await person.client.setStatus('available');
  if (!status.ok) countFailure(context, status, false);
  return undefined;
}

const blockMetres = 400;

/** A next destination: mostly around the block, sometimes a part of the way towards a point of demand. */
function nextDestination(from: LatLng, demandPoint: LatLng, random: Random): LatLng {
  if (drawBoolean(random, 0.25)) {
    const share = drawBetween(random, 0.1, 0.4);
    return {
      lat: from.lat + (demandPoint.lat - from.lat) * share,
      lng: from.lng + (demandPoint.lng - from.lng) * share,
    };
  }
  const metres = () => drawBetween(random, -blockMetres, blockMetres);
  return offsetPoint(from, metres(), metres());
}
