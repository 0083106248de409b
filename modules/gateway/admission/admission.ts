import type { Clock } from '@platform/clock.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { GatewaySettings } from '../settings.ts';
import { createLimiter, type Priority } from './limiter.ts';

export interface AdmissionDeps {
  settings: GatewaySettings;
  clock: Clock;
  metrics: Metrics;
}

/** Sheds what this process can't serve in time, the least important first. */
export interface Admission extends Worker {
  /**
   * Lets a request in, and gives what to call once at its end; undefined when it is shed. Requests whose
   * slowness has other reasons than the load do not `tellOfLoad`.
   */
  admit(priority: Priority, tellsOfLoad: boolean): (() => void) | undefined;
}

// Ten looks at the lag a window, three where each is late. The least of them counts: a pause of the collector
// is one, a queue is all.
const lookMs = 10;
const looksPerWindow = 10;
const looksMin = 3;

export function createAdmission({ settings, clock, metrics }: AdmissionDeps): Admission {
  const limiter = createLimiter({
    limitMin: settings.ADMISSION_REQUESTS_MIN,
    limitMax: settings.ADMISSION_REQUESTS_MAX,
    slowMs: settings.ADMISSION_SLOW_MS,
    lagMsMax: settings.ADMISSION_LAG_MS_MAX,
  });
  const stopping = new AbortController();
  let watching: Promise<void> | undefined;
  metrics.gauge('edge_admission_limit', limiter.limit);
  metrics.gauge('edge_requests_under_way', limiter.inFlight);

  return {
    name: 'gateway.admission',
    async start() {
      watching ??= watch();
    },
    async stop() {
      stopping.abort();
      await watching;
    },
    admit(priority, tellsOfLoad) {
      if (!limiter.enter(priority)) {
        metrics.count('edge_shed_total', { priority: String(priority) });
        return undefined;
      }
      const startedMs = clock.nowMs();
      return () => limiter.leave(tellsOfLoad ? clock.nowMs() - startedMs : undefined);
    },
  };

  async function watch(): Promise<void> {
    while (!stopping.signal.aborted) limiter.adjust(await leastLagMs());
  }

  async function leastLagMs(): Promise<number> {
    let least = Number.POSITIVE_INFINITY;
    const windowEndMs = clock.nowMs() + lookMs * looksPerWindow;
    for (let looks = 0; looks < looksMin || clock.nowMs() < windowEndMs; looks++) {
      if (stopping.signal.aborted) break;
      const dueMs = clock.nowMs() + lookMs;
      await clock.sleep(lookMs, stopping.signal);
      least = Math.min(least, clock.nowMs() - dueMs);
    }
    return Math.max(0, least);
  }
}
