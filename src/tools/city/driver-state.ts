import type { DriverId, TripId } from '@contracts/ids.ts';
import type { Random } from '@platform/random.ts';
import type { CityContext } from './city-context.ts';
import type { Motion } from './motion.ts';
import type { CityPerson, PersonEvent } from './person.ts';
import type { PositionReporter } from './position-reporter.ts';

export interface PendingOffer {
  tripId: TripId;
  expiresAtMs: number;
}

export type DriverMode = 'idle' | 'on_trip' | 'dark' | 'away';

/** The state of one simulated driver, shared by the parts of their behaviour. */
export interface DriverState {
  id: DriverId;
  context: CityContext;
  person: CityPerson;
  motion: Motion;
  reporter: PositionReporter;
  random: Random;
  mode: DriverMode;
  /** The trip that the driver serves. */
  currentTripId: TripId | undefined;
  /** True once the driver has lost their phone: nothing is sent or received any more. */
  isDisconnected: boolean;
  /** The latest trips that the driver completed. */
  completed: Set<TripId>;
  /** The latest offer that is not handled yet. It may arrive before the response to `complete`. */
  pendingOffer: PendingOffer | undefined;
}

export function recordOffer(driver: DriverState, event: PersonEvent): void {
  if (event.kind !== 'trip' || event.event !== 'trip.offered') return;
  const { tripId, offerExpiresAt } = event.trip;
  driver.pendingOffer = {
    tripId,
    expiresAtMs: offerExpiresAt ? Date.parse(offerExpiresAt) : Number.POSITIVE_INFINITY,
  };
}

/** Removes and returns the pending offer; undefined if there is none or it has expired. */
export function takeOffer(driver: DriverState): PendingOffer | undefined {
  const offer = driver.pendingOffer;
  driver.pendingOffer = undefined;
  return offer !== undefined && offer.expiresAtMs > driver.context.clock.nowMs() ? offer : undefined;
}
