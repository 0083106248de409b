/** Why a route of a routing engine is implausible. */
export type ImplausibleReason = 'far_snap' | 'too_short' | 'too_long' | 'too_fast' | 'too_slow';

export interface ReportedRoute {
  distanceMetres: number;
  durationSeconds: number;
  /** The larger of the distances by which the two points were moved to a road. */
  snapMetres: number;
}

// No road is shorter than the straight line. The engine's Earth model and ours differ by less than 1%, and a point is
// moved to the middle of the road.
const straightShareMin = 0.97;
const straightSlackMetres = 30;

// The next bridge or U-turn may be far away, but not on another continent.
const detourMax = 20;
const detourSlackMetres = 20_000;

// The maximum is above any routing profile (140 km/h). The minimum is below walking speed, with an hour of slack for a
// ferry. Times are given in tenths of a second, so a short route gets a second of slack.
const speedMetresPerSecondMax = 45;
const speedMetresPerSecondMin = 1;
const fastSlackSeconds = 1;
const slowSlackSeconds = 3_600;

/** Checks that the route connects the two points and can have been driven. Returns undefined when it is plausible. */
export function checkPlausibility(
  { distanceMetres, durationSeconds, snapMetres }: ReportedRoute,
  { straightMetres, snapMetresMax }: { straightMetres: number; snapMetresMax: number },
): ImplausibleReason | undefined {
  if (snapMetres > snapMetresMax) return 'far_snap';
  if (distanceMetres < straightMetres * straightShareMin - straightSlackMetres) return 'too_short';
  if (distanceMetres > straightMetres * detourMax + detourSlackMetres) return 'too_long';
  if (distanceMetres > (durationSeconds + fastSlackSeconds) * speedMetresPerSecondMax) return 'too_fast';
  if (durationSeconds > distanceMetres / speedMetresPerSecondMin + slowSlackSeconds) return 'too_slow';
  return undefined;
}
