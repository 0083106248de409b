import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Followers } from './ports.ts';
import type { PositionUpdate } from './positions/index.ts';

export interface FollowingOptions {
  followers: Followers;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export interface Following {
  /** A busy driver is here now. Costs the caller nothing. */
  moved(update: PositionUpdate): void;
  worker: Worker;
}

/** A driver is told of so often, however often his phone sends. */
export const everyMs = 1_000;
/** What came meanwhile goes out together. */
export const gatherMs = 250;
/** Drivers who may wait; more are not told of. */
export const driversMax = 20_000;
/** Drivers told of in one call. */
export const batchMax = 500;

/** Positions of busy drivers on their way to whoever follows them: the newest of each, throttled. */
export function createFollowing({ followers, clock, log, metrics }: FollowingOptions): Following {
  const waiting = new Map<DriverId, PositionUpdate>();
  /** When each was last told of; who was not for `everyMs` is forgotten. */
  const toldAtMs = new Map<DriverId, number>();

  return {
    moved(update) {
      const known = waiting.get(update.driverId);
      if (known === undefined && waiting.size >= driversMax) return metrics.count('driver_moves_shed_total');
      if (known === undefined || known.recordedAtMs <= update.recordedAtMs)
        waiting.set(update.driverId, update);
    },
    worker: createLoop({ name: 'driver.following', clock, log, idleMs: gatherMs, step }),
  };

  async function step(): Promise<boolean> {
    const nowMs = clock.nowMs();
    for (const [driverId, atMs] of toldAtMs) if (atMs + everyMs <= nowMs) toldAtMs.delete(driverId);
    const due: PositionUpdate[] = [];
    for (const [driverId, update] of waiting) {
      if (toldAtMs.has(driverId)) continue;
      waiting.delete(driverId);
      toldAtMs.set(driverId, nowMs);
      if (due.push(update) === batchMax) break;
    }
    if (due.length === 0) return false;
    try {
      await followers.moved(due);
      metrics.count('driver_moves_told_total', {}, due.length);
    } catch (error) {
      metrics.count('driver_moves_failed_total', {}, due.length);
      log.warn({ drivers: due.length, err: error }, 'moves of drivers were not told');
    }
    return due.length === batchMax;
  }
}
