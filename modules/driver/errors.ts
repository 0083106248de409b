import { defineProblems } from '@platform/problems.ts';

/** Problems of one position fix. In a batch, each rejected point carries its code. */
export const positionProblems = {
  'position.time_invalid': ['invalid', 'recordedAt is not a valid date'],
  'position.future': ['unprocessable', 'Position is in the future'],
  'position.stale': ['unprocessable', 'Position is too old'],
  'position.outdated': ['unprocessable', 'A newer position is already known'],
  'position.inaccurate': ['unprocessable', 'Position is too inaccurate'],
  'position.too_fast': ['unprocessable', 'Position is too far from the previous one'],
  'position.no_fix': ['unprocessable', 'Position 0,0 means that the phone has no fix'],
  'position.out_of_range': ['unprocessable', 'Position is beyond 85° north or south'],
} as const;
export type PositionProblemCode = keyof typeof positionProblems;

export const driverProblem = defineProblems({
  ...positionProblems,
  'driver.vehicle_required': ['conflict', 'Vehicle is required to become available'],
  'driver.busy': ['conflict', 'Driver has an offer or a trip in progress'],
  'driver.offline': ['conflict', 'Driver is offline'],
});
