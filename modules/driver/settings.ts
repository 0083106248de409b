import { setting } from '@platform/config.ts';
import { type Static, Type } from '@sinclair/typebox';
import type { PositionRules } from './positions/index.ts';

export const driverSettings = Type.Object({
  POSITION_FRESHNESS_SECONDS: setting.integer('how long a position counts, in seconds', 30, 60, 30),
  POSITION_ACCURACY_METRES_MAX: setting.integer(
    'how inaccurate a position may be by its own account, in metres',
    1,
    100_000,
    200,
  ),
  POSITION_SPEED_METRES_PER_SECOND_MAX: setting.integer(
    'the speed beyond which a position is not believed, in metres a second',
    10,
    1_000_000,
    70,
  ),
  POSITION_SHARDS: setting.integer(
    'the parts the position index is cut into, more than one with a Redis Cluster only',
    1,
    64,
    1,
  ),
  // 0: what arrives while a write is under way makes up the next one. A wait on top brought nothing (28k
  // updates a second without, 23k to 29k with 2 ms, on two cores with Redis and the load on them).
  POSITION_WINDOW_MS: setting.integer('how long positions are gathered for one write, in ms', 0, 100, 0),
  POSITION_BATCH_MAX: setting.integer('drivers in one write to the position index', 1, 1_000, 500),
  POSITION_WAITING_MAX: setting.integer('position updates that may wait to be written', 1, 1_000_000, 20_000),
  POSITION_WAIT_MS_MAX: setting.integer(
    'how long a position may wait for its write to begin, in ms',
    50,
    10_000,
    1_000,
  ),
  SEARCH_RADIUS_METRES_MAX: setting.integer(
    'how far a candidate may be from the pickup in metres',
    100,
    50_000,
    8_000,
  ),
  NEARBY_RADIUS_METRES_MAX: setting.integer(
    'how far people see drivers around them in metres',
    100,
    50_000,
    5_000,
  ),
  DRIVER_PREFETCH: setting.integer('trip events handled at the same time', 1, 1_000, 100),
  TRIP_TRACK_DAYS: setting.integer('days that the positions of a trip are kept', 1, 3_650, 30),
  TRACK_WAITING_MAX: setting.integer(
    'positions of trips that may wait to be saved while PostgreSQL is away',
    1_000,
    10_000_000,
    100_000,
  ),
  DRIVER_HISTORY_DAYS: setting.integer("days that the history of a driver's status is kept", 1, 3_650, 90),
});
export type DriverSettings = Static<typeof driverSettings>;

export function positionRulesOf(settings: DriverSettings): PositionRules {
  const freshnessMs = settings.POSITION_FRESHNESS_SECONDS * 1_000;
  return {
    freshnessMs,
    speedMetresPerSecondMax: settings.POSITION_SPEED_METRES_PER_SECOND_MAX,
    sweepEveryMs: freshnessMs,
  };
}
