import type { Clock } from '@platform/clock.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Metrics } from '@platform/metrics.ts';
import { fault } from '../errors.ts';
import { createLimiter, type Priority } from './limiter.ts';

export interface AdmissionOptions {
  clock: Clock;
  metrics: Metrics;
  requestsMin: number;
  requestsMax: number;
  slowMs: number;
  lagMsMax: number;
}

/** Sheds what this process can't serve in time, the least important first. */
export interface Admission extends Worker {
  /** Throws `edge.overloaded` at once; else the request's end must be told by `leave`. */
  enter(priority: Priority): void;
  leave(startedMs: number, tellsOfLoad: boolean): void;
}

// Ten looks at the lag a window. The least of them counts: a pause of the collector is one, a queue is all.
const lookMs = 10;
const looksPerWindow = 10;
// Clients that come back at once would find the same; those of one moment should not come back together,
// which their own timers see to.
const retryAfterSeconds = 1;

export function createAdmission(options: AdmissionOptions): Admission {
  const { clock, metrics, requestsMin: limitMin, requestsMax: limitMax, slowMs, lagMsMax } = options;
  const limiter = createLimiter({ limitMin, limitMax, slowMs, lagMsMax });
  const stopping = new AbortController();
  let watching: Promise<void> | undefined;
  metrics.gauge('edge_admission_limit', limiter.limit);
  metrics.gauge('edge_requests_under_way', limiter.underWay);

  return {
    name: 'gateway.admission',
    async start() {
      watching ??= watch();
    },
    async stop() {
      stopping.abort();
      await watching;
    },
    enter(priority) {
      if (limiter.enter(priority)) return;
      metrics.count('edge_shed_total', { priority: String(priority) });
      throw fault('edge.overloaded', { retryAfterSeconds });
    },
    leave(startedMs, tellsOfLoad) {
      limiter.leave(tellsOfLoad ? clock.nowMs() - startedMs : undefined);
    },
  };

  async function watch(): Promise<void> {
    while (!stopping.signal.aborted) limiter.adjust(await leastLagMs());
  }

  async function leastLagMs(): Promise<number> {
    let least = Number.POSITIVE_INFINITY;
    const windowEndMs = clock.nowMs() + lookMs * looksPerWindow;
    while (clock.nowMs() < windowEndMs && !stopping.signal.aborted) {
      const dueMs = clock.nowMs() + lookMs;
      await clock.sleep(lookMs, stopping.signal);
      least = Math.min(least, clock.nowMs() - dueMs);
    }
    return Math.max(0, least);
  }
}
