import type { TripStatus } from '@contracts/trips.ts';
import type { Random } from '@platform/random.ts';
import { drawBoolean, pickWeighted } from './random-draws.ts';

/** What a rider will do with one ride, decided before it begins. */
export interface RidePlan {
  /** Cancels as soon as the trip is in this state, or later if it passes too quickly. */
  cancelAtStatus: TripStatus | undefined;
  /** Sends the create again with the same Idempotency-Key: it must be the same trip. */
  repeatsCreate: boolean;
  /** Sends another create with the same key: it must be refused. */
  misusesKey: boolean;
  /** Reads the trip as soon as it was acknowledged. */
  readsBack: boolean;
  /** Somebody else tries to read it. */
  checksPrivacy: boolean;
  stars: number | undefined;
}

// The rest of all cancellations comes from drivers.
const riderCancelShare = 2 / 3;
const patience = [
  { when: 'requested', weight: 4 },
  { when: 'assigned', weight: 4 },
  { when: 'arrived', weight: 2 },
] as const;

export function planRide(random: Random, cancelRate: number): RidePlan {
  const cancels = drawBoolean(random, cancelRate * riderCancelShare);
  const { when } = pickWeighted(patience, random);
  return {
    cancelAtStatus: cancels ? when : undefined,
    repeatsCreate: drawBoolean(random, 0.05),
    misusesKey: drawBoolean(random, 0.02),
    readsBack: drawBoolean(random, 0.2),
    checksPrivacy: drawBoolean(random, 0.04),
    stars: drawBoolean(random, 0.8) ? 1 + Math.ceil(4 * Math.sqrt(random.next())) : undefined,
  };
}

const order: readonly TripStatus[] = ['requested', 'offered', 'assigned', 'arrived', 'in_progress'];

/** It is time to cancel, and the trip may still be cancelled by its rider. */
export const shouldCancel = (plan: RidePlan, status: TripStatus): boolean =>
  plan.cancelAtStatus !== undefined &&
  status !== 'in_progress' &&
  order.indexOf(status) >= order.indexOf(plan.cancelAtStatus);
