import type { ReleaseRequest } from '@contracts/drivers.ts';
import type { Log } from '@platform/log.ts';
import type { Transitions } from '../lifecycle/transitions.ts';
import type { DriverPool } from '../ports.ts';
import type { TripPolicy } from '../settings.ts';
import { type DispatchChoice, type DispatchOption, dispatchDecisionOf } from './choices.ts';

export interface OfferMakerDeps {
  transitions: Transitions;
  drivers: Pick<DriverPool, 'hold' | 'release'>;
  log: Log;
  policy: TripPolicy;
}

/** Makes offers: holds the driver, then offers them the trip with the vehicle that the hold returned. */
export function createOfferMaker({ transitions, drivers, log, policy }: OfferMakerDeps) {
  return offerTrip;

  /**
   * Holds the driver and makes the offer. `finished`: the trip has an offer, from here or elsewhere, or needs
   * none any more. `taken`: the driver can't be offered this trip.
   */
  async function offerTrip(
    choice: DispatchChoice,
    considered: readonly DispatchOption[],
    matchedTrips: number,
  ): Promise<'finished' | 'taken'> {
    const { trip } = choice.search;
    const { driverId } = choice.option.candidate;
    const hold = { driverId, tripId: trip.id, version: trip.version };
    const { product } = trip.fare;
    const held = await drivers
      .hold({ ...hold, product, ttlMs: policy.offerTimeoutMs })
      .catch(async (error: unknown) => {
        // The hold may have succeeded and only its response was lost.
        await releaseHold(hold);
        throw error;
      });
    if (!held.held) return 'taken';
    const driver = { id: driverId, vehicle: held.vehicle };
    // If this throws, the outcome of the write is unknown, so the hold stays: the offer's event or its expiry ends it.
    const result = await transitions.apply(
      trip,
      { kind: 'offer', by: { actor: 'system' }, driver },
      dispatchDecisionOf(considered, choice, matchedTrips),
    );
    if (result.kind === 'applied') return 'finished';
    await releaseHold(hold);
    return result.kind === 'driver_taken' ? 'taken' : 'finished';
  }

  async function releaseHold(hold: ReleaseRequest): Promise<void> {
    try {
      await drivers.release(hold);
    } catch (error) {
      log.warn({ ...hold, err: error }, 'failed to release driver hold, it ends by its expiry');
    }
  }
}
