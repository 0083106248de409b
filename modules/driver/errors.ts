import { defineProblems } from '@platform/problems.ts';

/** What can be wrong with one position fix; in a batch each refused point carries its code. */
export const positionProblems = {
  'position.time_invalid': ['invalid', 'recordedAt is no point in time'],
  'position.future': ['unprocessable', 'The position was recorded in the future'],
  'position.stale': ['unprocessable', 'The position is too old to be of use'],
  'position.outdated': ['unprocessable', 'A newer position is known already'],
  'position.inaccurate': ['unprocessable', 'The position is too inaccurate to be of use'],
  'position.too_fast': ['unprocessable', 'Nobody drives that far since the position before'],
  'position.no_fix': ['unprocessable', 'Latitude and longitude 0 are what a phone sends without a fix'],
  'position.out_of_range': ['unprocessable', 'Positions beyond 85° north or south are not served'],
} as const;
export type PositionProblemCode = keyof typeof positionProblems;

export const driverProblem = defineProblems({
  ...positionProblems,
  'driver.vehicle_required': ['conflict', 'A vehicle is needed before you can be available'],
  'driver.busy': ['conflict', 'This is not possible while an offer or a trip is under way'],
  'driver.offline': ['conflict', 'Positions are taken only from drivers who are not offline'],
});
