import { setting } from '@platform/config.ts';
import { type Static, Type } from '@sinclair/typebox';
import type { PositionRules } from './positions/index.ts';

export const driverSettings = Type.Object({
  POSITION_FRESHNESS_SECONDS: setting.integer(
    'how long a position is used after it was recorded, in seconds',
    30,
    60,
    30,
  ),
  POSITION_ACCURACY_METRES_MAX: setting.integer(
    'the largest accuracy radius that a position may report, in metres',
    1,
    100_000,
    200,
  ),
  POSITION_SPEED_METRES_PER_SECOND_MAX: setting.integer(
    'the speed above which a position is rejected as implausible, in metres per second',
    10,
    1_000_000,
    70,
  ),
  POSITION_SHARDS: setting.integer(
    'number of shards of the position index; more than one only with a Redis Cluster',
    1,
    64,
    1,
  ),
  // With 0, positions that arrive while a write is in flight form the next batch. An extra wait gained
  // nothing: 28k updates/s without it, 23k to 29k with 2 ms, on two cores shared with Redis and the load.
  POSITION_WINDOW_MS: setting.integer('how long positions are collected for one write, in ms', 0, 100, 0),
  POSITION_BATCH_MAX: setting.integer('drivers per write to the position index', 1, 1_000, 500),
  POSITION_WAITING_MAX: setting.integer(
    'position updates that may wait for their write',
    1,
    1_000_000,
    20_000,
  ),
  POSITION_WAIT_MS_MAX: setting.integer(
    'how long a position may wait before its write starts, in ms',
    50,
    10_000,
    1_000,
  ),
  SEARCH_RADIUS_METRES_MAX: setting.integer(
    'how far a candidate may be from the pickup, in metres',
    100,
    50_000,
    8_000,
  ),
  NEARBY_RADIUS_METRES_MAX: setting.integer(
    'how far around a point nearby drivers are shown, in metres',
    100,
    50_000,
    5_000,
  ),
  DRIVER_PREFETCH: setting.integer('trip events handled concurrently', 1, 1_000, 100),
  TRIP_TRACK_DAYS: setting.integer('days that the track of a trip is kept', 1, 3_650, 30),
  TRACK_WAITING_MAX: setting.integer(
    'track points that may wait to be saved while PostgreSQL is unavailable',
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
