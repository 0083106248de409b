import type { PositionFix } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { DriverPositionsResult, PositionBatchClient, PositionSink } from '../ports.ts';

export interface PositionBatcherDeps {
  client: PositionBatchClient;
  clock: Clock;
  metrics: Metrics;
  /** How long positions are collected before a call is made. */
  windowMs: number;
}

interface QueuedPositions {
  points: PositionFix[];
  /** True if some of the driver's points were dropped. */
  isTruncated: boolean;
  answer: PromiseWithResolvers<readonly string[]>;
}

/** Maximum points in one call: about 50 KB of JSON, within the body limit of a service. */
export const pointsPerCallMax = 250;
/** Maximum drivers in the queue while the driver service is slow. Beyond it, the one that waits longest is rejected. */
export const queuedDriversMax = 20_000;

/**
 * Batches the positions of many connections into few calls, one in flight at a time. So batches grow with the load, and the
 * points of a driver keep their order. While the driver service is slow, the newest points are kept.
 */
export function createPositionBatcher(options: PositionBatcherDeps): PositionSink {
  const { client, clock, metrics, windowMs } = options;
  const queue = new Map<DriverId, QueuedPositions>();
  const stopping = new AbortController();
  let sending: Promise<void> | undefined;

  return {
    async drain() {
      stopping.abort();
      await sending;
    },
    record(driverId, points) {
      const existing = queue.get(driverId);
      if (existing === undefined && queue.size >= queuedDriversMax) rejectLongestWaiting();
      const queued = existing ?? { points: [], isTruncated: false, answer: Promise.withResolvers() };
      queue.set(driverId, queued);
      queued.points.push(...points);
      const excess = queued.points.length - pointsPerCallMax;
      if (excess > 0) {
        queued.points.splice(0, excess);
        queued.isTruncated = true;
        countShed(excess);
      }
      sending ??= send().finally(() => {
        sending = undefined;
      });
      return queued.answer.promise;
    },
  };

  function rejectLongestWaiting(): void {
    const [longest] = queue;
    if (longest === undefined) return;
    const [driverId, { points, answer }] = longest;
    queue.delete(driverId);
    countShed(points.length);
    answer.resolve(truncatedCodes);
  }

  function countShed(points: number): void {
    metrics.count('notification_positions_shed_total', undefined, points);
  }

  async function send(): Promise<void> {
    await clock.sleep(windowMs, stopping.signal);
    while (queue.size > 0) await sendBatch(takeBatch());
  }

  function takeBatch(): Map<DriverId, QueuedPositions> {
    const batch = new Map<DriverId, QueuedPositions>();
    let points = 0;
    for (const [driverId, queued] of queue) {
      points += queued.points.length;
      if (batch.size > 0 && points > pointsPerCallMax) break;
      batch.set(driverId, queued);
      queue.delete(driverId);
    }
    return batch;
  }

  async function sendBatch(batch: Map<DriverId, QueuedPositions>): Promise<void> {
    try {
      const updates = [...batch].map(([driverId, { points }]) => ({ driverId, points }));
      for (const result of await client.record(updates)) {
        const queued = batch.get(result.driverId);
        queued?.answer.resolve(
          queued.isTruncated ? [...rejectionCodesOf(result), ...truncatedCodes] : rejectionCodesOf(result),
        );
      }
      const missing = new Error('a driver is missing from the response');
      for (const { answer } of batch.values()) answer.reject(missing);
    } catch (error) {
      for (const { answer } of batch.values()) answer.reject(error);
    }
  }
}

/** The distinct rejection codes: the response must not grow with the number of rejected points. */
export const rejectionCodesOf = ({ refused }: Pick<DriverPositionsResult, 'refused'>): readonly string[] =>
  refused.length === 0 ? noCodes : [...new Set(refused.map(({ code }) => code))];

const noCodes: readonly string[] = [];
/** Reported for points that were never sent. */
const truncatedCodes: readonly string[] = ['service.unavailable'];
