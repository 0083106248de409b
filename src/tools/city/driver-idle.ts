import { type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { Trip } from '@contracts/trips.ts';
import type { Random } from '@platform/random.ts';
import { countFailure } from './city-context.ts';
import { type DriverState, type PendingOffer, recordOffer, takeOffer } from './driver-state.ts';
import { drawBetween, drawBoolean } from './random-draws.ts';
import { isActiveStatus } from './trip-rules.ts';

/** What ends an idle spell. */
export type IdleOutcome =
  | { kind: 'offer'; offer: PendingOffer }
  /** A trip that is this driver's already: the answer to the accept was lost. */
  | { kind: 'found'; trip: Trip }
  | { kind: 'vanish' }
  | { kind: 'closing' };

// Nothing heard for so long: the server is asked whether there was something to hear.
const quietMs = 45_000;
const vanishWithinMs = 20_000;
const thoughtMsMax = 10_000;

/** Cruises until something is to be done. */
export async function waitForWork(cab: DriverState): Promise<IdleOutcome> {
  const { person, random } = cab;
  const { clock, closing, behaviour } = cab.world;
  const vanishes = drawBoolean(random, behaviour.darkRate / 2);
  const vanishAtMs = vanishes ? clock.nowMs() + random.next() * vanishWithinMs : Number.POSITIVE_INFINITY;
  let heardAtMs = clock.nowMs();
  for (;;) {
    if (closing.aborted) return { kind: 'closing' };
    const offer = takeOffer(cab);
    if (offer !== undefined) return { kind: 'offer', offer };
    const nowMs = clock.nowMs();
    if (nowMs >= vanishAtMs) return { kind: 'vanish' };
    if (nowMs - heardAtMs >= quietMs) {
      const found = await askAround(cab);
      if (found !== undefined) return found;
      heardAtMs = clock.nowMs();
    }
    const news = await person.events.take(Math.min(cruise(cab), vanishAtMs - nowMs), closing);
    if (news === undefined) continue;
    heardAtMs = news.kind === 'lost' ? 0 : clock.nowMs();
    recordOffer(cab, news);
  }
}

/** Drives on around here; real milliseconds until the next thought. */
function cruise({ motion, random, world }: DriverState): number {
  if (motion.remainingMs() === 0)
    motion.driveTo(nextCorner(motion.position(), world.demand.randomPoint(random), random), random);
  return Math.min(motion.remainingMs() + 1, thoughtMsMax);
}

/** The fallback when pushes may have been missed: what the server says that this driver should do. */
async function askAround(cab: DriverState): Promise<IdleOutcome | undefined> {
  const { person, world } = cab;
  const trips = await person.client.trips(5);
  if (!trips.ok) {
    countFailure(world, trips, false);
    return undefined;
  }
  for (const trip of trips.value.items) {
    if (isActiveStatus(trip.status)) return { kind: 'found', trip };
    const expiresAtMs = trip.offer ? Date.parse(trip.offer.expiresAt) : 0;
    if (trip.status === 'offered' && expiresAtMs > world.clock.nowMs())
      return { kind: 'offer', offer: { tripId: trip.id, expiresAtMs } };
  }
  const status = await person.client.setStatus('available');
  if (!status.ok) countFailure(world, status, false);
  return undefined;
}

const blockMetres = 400;

/** Mostly around the block; now and then some way towards where people are. */
function nextCorner(from: LatLng, lively: LatLng, random: Random): LatLng {
  if (drawBoolean(random, 0.25)) {
    const share = drawBetween(random, 0.1, 0.4);
    return {
      lat: from.lat + (lively.lat - from.lat) * share,
      lng: from.lng + (lively.lng - from.lng) * share,
    };
  }
  const metres = () => drawBetween(random, -blockMetres, blockMetres);
  return offsetPoint(from, metres(), metres());
}
