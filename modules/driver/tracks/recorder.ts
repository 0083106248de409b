import type { Clock } from '@platform/clock.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { PositionUpdate } from '../positions/index.ts';

export interface TrackRecorderDeps {
  /** Gives how many of them belonged to a trip. */
  save: (points: readonly PositionUpdate[]) => Promise<number>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Points that may wait to be saved; of more the oldest are lost, and counted. */
  waitingMax: number;
}

export interface TrackRecorder extends Worker {
  /** Points of a busy driver; they are saved within about a second, and nobody waits for it. */
  add(points: readonly PositionUpdate[]): void;
}

const saveEveryMs = 1_000;
const saveMax = 1_000;

/**
 * Gathers the points of drivers on trips and saves them beside the way of positions: a slow database
 * holds up nobody. While it is away they wait, as many as may; what is lost is counted, but for the
 * last second of a process that is killed.
 */
export function createTrackRecorder(options: TrackRecorderDeps): TrackRecorder {
  const { save, clock, log, metrics, waitingMax } = options;
  let waiting: PositionUpdate[] = [];
  let saving = 0;
  const loop = createLoop({ name: 'driver.tracks', clock, log, idleMs: saveEveryMs, step: saveSome });
  // Includes the batch in flight: zero means that every point is saved.
  metrics.gauge('track_points_waiting', () => waiting.length + saving);

  return {
    name: loop.name,
    start: () => loop.start(),
    async stop() {
      await loop.stop();
      try {
        while (waiting.length > 0) await saveSome();
      } catch (error) {
        log.warn({ points: waiting.length, err: error }, 'the last points of trips were not saved');
        lose(waiting.length);
      }
    },
    add(points) {
      waiting.push(...points);
      if (waiting.length > waitingMax) lose(waiting.length - waitingMax);
    },
  };

  async function saveSome(): Promise<boolean> {
    const some = waiting.slice(0, saveMax);
    if (some.length === 0) return false;
    waiting = waiting.slice(saveMax);
    saving = some.length;
    try {
      metrics.count('track_points_saved_total', {}, await save(some));
    } catch (error) {
      waiting = [...some, ...waiting];
      if (waiting.length > waitingMax) lose(waiting.length - waitingMax);
      throw error;
    } finally {
      saving = 0;
    }
    return waiting.length >= saveMax;
  }

  function lose(points: number): void {
    waiting = waiting.slice(points);
    metrics.count('track_points_lost_total', {}, points);
  }
}
