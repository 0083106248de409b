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
  /** Queues the current position of a busy driver; returns at once and does no I/O. */
  enqueue(update: PositionUpdate): void;
  worker: Worker;
}

/** The positions of one driver are sent at most this often, however often the phone reports. */
export const driverIntervalMs = 1_000;
/** Positions that arrive within this time are sent together. */
export const sendIntervalMs = 250;
/** Drivers whose position may wait to be sent; positions of further drivers are dropped and counted. */
export const waitingDriversMax = 20_000;
/** Drivers per call. */
export const batchMax = 500;

/** Sends the newest position of each busy driver to the people who follow them, throttled. */
export function createFollowerUpdates({
  followers,
  clock,
  log,
  metrics,
}: FollowerUpdatesDeps): FollowerUpdates {
  const waiting = new Map<DriverId, PositionUpdate>();
  /** When each driver's position was last sent; entries older than `driverIntervalMs` are removed. */
  const sentAtMs = new Map<DriverId, number>();

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
    for (const [driverId, atMs] of sentAtMs) if (atMs + driverIntervalMs <= nowMs) sentAtMs.delete(driverId);
    const due: PositionUpdate[] = [];
    for (const [driverId, update] of waiting) {
      if (sentAtMs.has(driverId)) continue;
      waiting.delete(driverId);
      sentAtMs.set(driverId, nowMs);
      if (due.push(update) === batchMax) break;
    }
    if (due.length === 0) return false;
    try {
      await followers.sendPositions(due);
      metrics.count('driver_moves_told_total', {}, due.length);
    } catch (error) {
      metrics.count('driver_moves_failed_total', {}, due.length);
      log.warn({ drivers: due.length, err: error }, 'failed to send driver positions to followers');
    }
    return due.length === batchMax;
  }
}
