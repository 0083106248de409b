import type { TripId } from '@contracts/ids.ts';
import { countFailure } from './city-context.ts';
import type { DriverState } from './driver-state.ts';

/** Checks that the driver is credited exactly once for each completed trip, whether or not the rider has paid. */
export async function checkEarnings({ context, person, completed }: DriverState): Promise<void> {
  const tripIds = [...completed].filter((tripId) => context.creditedTripIds.has(tripId));
  if (tripIds.length === 0) return;
  const earnings = await person.client.earnings();
  if (!earnings.ok) return countFailure(context, earnings, false);
  const fares = new Map<TripId, number>();
  for (const { tripId, kind } of earnings.value.items)
    if (kind === 'fare') fares.set(tripId, (fares.get(tripId) ?? 0) + 1);
  for (const tripId of tripIds) {
    const credits = fares.get(tripId) ?? 0;
    if (credits !== 1)
      context.observations.addViolation('earnings', tripId, `the driver is credited ${credits} times for it`);
  }
}
