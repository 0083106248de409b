import type { TripId } from '@contracts/ids.ts';
import { countFailure } from './city-context.ts';
import type { DriverState } from './driver-state.ts';

/** Each completed ride must be on the driver's account, once, whether or not its rider has paid. */
export async function checkEarnings({ world, person, completed }: DriverState): Promise<void> {
  const rides = [...completed].filter((tripId) => world.creditedTripIds.has(tripId));
  if (rides.length === 0) return;
  const earnings = await person.client.earnings();
  if (!earnings.ok) return countFailure(world, earnings, false);
  const fares = new Map<TripId, number>();
  for (const { tripId, kind } of earnings.value.items)
    if (kind === 'fare') fares.set(tripId, (fares.get(tripId) ?? 0) + 1);
  for (const tripId of rides) {
    const times = fares.get(tripId) ?? 0;
    if (times !== 1)
      world.observations.addViolation(
        'earnings',
        tripId,
        `its fare is ${times} times on its driver's account`,
      );
  }
}
