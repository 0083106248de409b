import type { PositionFix } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { DriverPositionsResult, PositionBatchClient, PositionSink } from '../ports.ts';

export interface PositionBatcherDeps {
  client: PositionBatchClient;
  clock: Clock;
  metrics: Metrics;
  /** How long the positions of many are gathered into one call. */
  windowMs: number;
}

interface Waiting {
  points: PositionFix[];
  /** Some of his points were left out. */
  isCut: boolean;
  answer: PromiseWithResolvers<readonly string[]>;
}

/** Points of one call: about 50 KB of JSON, within the body limit of a service. */
export const pointsPerCallMax = 250;
/** Drivers whose positions may wait while the sink is slow; of more, who waits longest is refused. */
export const queuedDriversMax = 20_000;

/**
 * Gathers the positions of many connections into few calls, one at a time: so the calls grow with
 * the load, and a driver's points keep their order. While the sink is slow the newest points stay.
 */
export function createPositionBatcher(options: PositionBatcherDeps): PositionSink {
  const { client, clock, metrics, windowMs } = options;
  const waiting = new Map<DriverId, Waiting>();
  const stopping = new AbortController();
  let sending: Promise<void> | undefined;

  return {
    async drain() {
      stopping.abort();
      await sending;
    },
    record(driverId, points) {
      const found = waiting.get(driverId);
      if (found === undefined && waiting.size >= queuedDriversMax) refuseLongest();
      const own = found ?? { points: [], isCut: false, answer: Promise.withResolvers() };
      waiting.set(driverId, own);
      own.points.push(...points);
      const over = own.points.length - pointsPerCallMax;
      if (over > 0) {
        own.points.splice(0, over);
        own.isCut = true;
        shed(over);
      }
      sending ??= send().finally(() => {
        sending = undefined;
      });
      return own.answer.promise;
    },
  };

  function refuseLongest(): void {
    const [longest] = waiting;
    if (longest === undefined) return;
    const [driverId, { points, answer }] = longest;
    waiting.delete(driverId);
    shed(points.length);
    answer.resolve(cut);
  }

  function shed(points: number): void {
    metrics.count('notification_positions_shed_total', undefined, points);
  }

  async function send(): Promise<void> {
    await clock.sleep(windowMs, stopping.signal);
    while (waiting.size > 0) await sendBatch(takeBatch());
  }

  function takeBatch(): Map<DriverId, Waiting> {
    const batch = new Map<DriverId, Waiting>();
    let points = 0;
    for (const [driverId, one] of waiting) {
      points += one.points.length;
      if (batch.size > 0 && points > pointsPerCallMax) break;
      batch.set(driverId, one);
      waiting.delete(driverId);
    }
    return batch;
  }

  async function sendBatch(batch: Map<DriverId, Waiting>): Promise<void> {
    try {
      const updates = [...batch].map(([driverId, { points }]) => ({ driverId, points }));
      for (const result of await client.record(updates)) {
        const one = batch.get(result.driverId);
        one?.answer.resolve(one.isCut ? [...rejectionCodesOf(result), ...cut] : rejectionCodesOf(result));
      }
      const forgotten = new Error('a driver is missing in the answer');
      for (const { answer } of batch.values()) answer.reject(forgotten);
    } catch (error) {
      for (const { answer } of batch.values()) answer.reject(error);
    }
  }
}

/** Each reason once, however many points it met: the answer must not grow with the fault. */
export const rejectionCodesOf = ({ refused }: Pick<DriverPositionsResult, 'refused'>): readonly string[] =>
  refused.length === 0 ? none : [...new Set(refused.map(({ code }) => code))];

const none: readonly string[] = [];
/** What could not even be asked for. */
const cut: readonly string[] = ['service.unavailable'];
