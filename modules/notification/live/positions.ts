import type { PositionFix } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { PositionResult, PositionSink } from '../ports.ts';

/** Hears the codes of what was refused: the connection that the points came from. */
export interface Teller {
  tell(code: string): void;
}

export interface PositionGatherer extends Worker {
  add(driverId: DriverId, points: readonly PositionFix[], teller: Teller): void;
}

export interface PositionGathererOptions {
  sink: PositionSink;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** How long the positions of many are gathered into one call. */
  windowMs: number;
}

interface Waiting {
  points: PositionFix[];
  tellers: Set<Teller>;
}

/** Points of one call: about 50 KB of JSON, within the body limit of a service. */
export const callPointsMax = 250;
/** Drivers whose positions may wait while the sink is slow. */
export const driversMax = 20_000;

/**
 * Gathers the positions of many connections into few calls, one at a time: so the calls grow with
 * the load, and a driver's points keep their order. While the sink is slow the newest points stay.
 */
export function createPositionGatherer(options: PositionGathererOptions): PositionGatherer {
  const { sink, clock, log, metrics, windowMs } = options;
  const waiting = new Map<DriverId, Waiting>();
  const stopping = new AbortController();
  let sending: Promise<void> | undefined;

  return {
    name: 'notification.positions',
    async start() {},
    async stop() {
      stopping.abort();
      await sending;
    },
    add(driverId, points, teller) {
      const found = waiting.get(driverId);
      if (found === undefined && waiting.size >= driversMax) {
        metrics.count('notification_positions_shed_total', undefined, points.length);
        return teller.tell('service.unavailable');
      }
      const own = found ?? { points: [], tellers: new Set() };
      waiting.set(driverId, own);
      own.points.push(...points);
      own.tellers.add(teller);
      const over = own.points.length - callPointsMax;
      if (over > 0) {
        own.points.splice(0, over);
        metrics.count('notification_positions_shed_total', undefined, over);
      }
      sending ??= send().finally(() => {
        sending = undefined;
      });
    },
  };

  async function send(): Promise<void> {
    await clock.sleep(windowMs, stopping.signal);
    while (waiting.size > 0) await sendBatch(takeBatch());
  }

  function takeBatch(): Map<DriverId, Waiting> {
    const batch = new Map<DriverId, Waiting>();
    let points = 0;
    for (const [driverId, one] of waiting) {
      points += one.points.length;
      if (batch.size > 0 && points > callPointsMax) break;
      batch.set(driverId, one);
      waiting.delete(driverId);
    }
    return batch;
  }

  async function sendBatch(batch: Map<DriverId, Waiting>): Promise<void> {
    try {
      const updates = [...batch].map(([driverId, { points }]) => ({ driverId, points }));
      for (const result of await sink.record(updates)) tellRefused(result, batch.get(result.driverId));
    } catch (error) {
      log.warn({ drivers: batch.size, err: error }, 'positions were not recorded');
      metrics.count('notification_position_failures_total');
      for (const { tellers } of batch.values())
        for (const teller of tellers) teller.tell('service.unavailable');
    }
  }

  /** Each reason once, however many points it met: the answer must not grow with the fault. */
  function tellRefused({ refused }: PositionResult, one: Waiting | undefined) {
    if (one === undefined || refused.length === 0) return;
    for (const code of new Set(refused.map((point) => point.code)))
      for (const teller of one.tellers) teller.tell(code);
  }
}
