import type { TripStatus } from '@contracts/trips.ts';
import type { Random } from '@platform/random.ts';
import { drawBoolean, pickWeighted } from './random-draws.ts';

/** What a rider will do during one ride, decided before it starts. */
export interface RidePlan {
  /** Cancels once the trip has this status, or later if it passes too quickly. */
  cancelAtStatus: TripStatus | undefined;
  /** Repeats the create with the same Idempotency-Key, which must return the same trip. */
  repeatsCreate: boolean;
  /** Sends a different create with the same key, which must be rejected. */
  misusesKey: boolean;
  /** Reads the trip right after its creation. */
  readsBack: boolean;
  /** Lets another person try to read the trip. */
  checksPrivacy: boolean;
  stars: number | undefined;
}

// The other cancellations come from drivers.
const riderCancelShare = 2 / 3;
const cancellationPoints = [
  { when: 'requested', weight: 4 },
  { when: 'assigned', weight: 4 },
  { when: 'arrived', weight: 2 },
] as const;

export function planRide(random: Random, cancelRate: number): RidePlan {
  const cancels = drawBoolean(random, cancelRate * riderCancelShare);
  const { when } = pickWeighted(cancellationPoints, random);
  return {
    cancelAtStatus: cancels ? when : undefined,
    repeatsCreate: drawBoolean(random, 0.05),
    misusesKey: drawBoolean(random, 0.02),
    readsBack: drawBoolean(random, 0.2),
    checksPrivacy: drawBoolean(random, 0.04),
    stars: drawBoolean(random, 0.8) ? 1 + Math.ceil(4 * Math.sqrt(random.next())) : undefined,
  };
}

const statusOrder: readonly TripStatus[] = ['requested', 'offered', 'assigned', 'arrived', 'in_progress'];

/** Whether the plan says to cancel now and the rider may still cancel. */
export const shouldCancel = (plan: RidePlan, status: TripStatus): boolean =>
  plan.cancelAtStatus !== undefined &&
  status !== 'in_progress' &&
  statusOrder.indexOf(status) >= statusOrder.indexOf(plan.cancelAtStatus);
