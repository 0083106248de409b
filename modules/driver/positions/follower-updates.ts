import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Followers } from '../ports.ts';
import type { PositionUpdate } from './index.ts';

export interface FollowerUpdatesDeps {
  followers: Followers;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export interface FollowerUpdates {
  /** A busy driver is here now. Costs the caller nothing. */
  enqueue(update: PositionUpdate): void;
  worker: Worker;
}

/** A driver is told of so often, however often his phone sends. */
export const driverIntervalMs = 1_000;
/** What came meanwhile goes out together. */
export const sendIntervalMs = 250;
/** Drivers who may wait; more are not told of. */
export const waitingDriversMax = 20_000;
/** Drivers told of in one call. */
export const batchMax = 500;

/** Positions of busy drivers on their way to whoever follows them: the newest of each, throttled. */
export function createFollowerUpdates({
  followers,
  clock,
  log,
  metrics,
}: FollowerUpdatesDeps): FollowerUpdates {
  const waiting = new Map<DriverId, PositionUpdate>();
  /** When each was last told of; who was not for `driverIntervalMs` is forgotten. */
  const toldAtMs = new Map<DriverId, number>();

  return {
    enqueue(update) {
      const known = waiting.get(update.driverId);
      if (known === undefined && waiting.size >= waitingDriversMax)
        return metrics.count('driver_moves_shed_total');
      if (known === undefined || known.recordedAtMs <= update.recordedAtMs)
        waiting.set(update.driverId, update);
    },
    worker: createLoop({ name: 'driver.following', clock, log, idleMs: sendIntervalMs, step }),
  };

  async function step(): Promise<boolean> {
    const nowMs = clock.nowMs();
    for (const [driverId, atMs] of toldAtMs) if (atMs + driverIntervalMs <= nowMs) toldAtMs.delete(driverId);
    const due: PositionUpdate[] = [];
    for (const [driverId, update] of waiting) {
      if (toldAtMs.has(driverId)) continue;
      waiting.delete(driverId);
      toldAtMs.set(driverId, nowMs);
      if (due.push(update) === batchMax) break;
    }
    if (due.length === 0) return false;
    try {
      await followers.sendPositions(due);
      metrics.count('driver_moves_told_total', {}, due.length);
    } catch (error) {
      metrics.count('driver_moves_failed_total', {}, due.length);
      log.warn({ drivers: due.length, err: error }, 'moves of drivers were not told');
    }
    return due.length === batchMax;
  }
}
