import type { Clock } from '@platform/clock.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { PositionUpdate } from '../positions/index.ts';

export interface TrackRecorderDeps {
  /** Saves the points that belong to a trip; returns how many those were. */
  save: (points: readonly PositionUpdate[]) => Promise<number>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Points that may wait to be saved. Beyond that, the oldest are dropped and counted. */
  waitingMax: number;
}

export interface TrackRecorder extends Worker {
  /** Queues points of a busy driver. They are saved within about a second; the caller does not wait. */
  add(points: readonly PositionUpdate[]): void;
}

const saveEveryMs = 1_000;
const batchMax = 1_000;

/**
 * Collects the points of drivers on trips and saves them in the background, so a slow database delays no
 * position. While the database is unavailable, up to `waitingMax` points wait. Dropped points are counted,
 * except those of the last second of a process that is killed.
 */
export function createTrackRecorder(options: TrackRecorderDeps): TrackRecorder {
  const { save, clock, log, metrics, waitingMax } = options;
  let waiting: PositionUpdate[] = [];
  let saving = 0;
  const loop = createLoop({ name: 'driver.tracks', clock, log, idleMs: saveEveryMs, step: saveBatch });
  // The gauge includes the batch in flight: zero means that every point is saved.
  metrics.gauge('track_points_waiting', () => waiting.length + saving);

  return {
    name: loop.name,
    start: () => loop.start(),
    async stop() {
      await loop.stop();
      try {
        while (waiting.length > 0) await saveBatch();
      } catch (error) {
        log.warn({ points: waiting.length, err: error }, 'failed to save track points at shutdown');
        drop(waiting.length);
      }
    },
    add(points) {
      waiting.push(...points);
      if (waiting.length > waitingMax) drop(waiting.length - waitingMax);
    },
  };

  async function saveBatch(): Promise<boolean> {
    const batch = waiting.slice(0, batchMax);
    if (batch.length === 0) return false;
    waiting = waiting.slice(batchMax);
    saving = batch.length;
    try {
      metrics.count('track_points_saved_total', {}, await save(batch));
    } catch (error) {
      waiting = [...batch, ...waiting];
      if (waiting.length > waitingMax) drop(waiting.length - waitingMax);
      throw error;
    } finally {
      saving = 0;
    }
    return waiting.length >= batchMax;
  }

  function drop(points: number): void {
    waiting = waiting.slice(points);
    metrics.count('track_points_lost_total', {}, points);
  }
}
