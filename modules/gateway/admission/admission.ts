import type { Clock } from '@platform/clock.ts';
import type { Priority } from '@platform/http/edge-policy.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { GatewaySettings } from '../settings.ts';
import { createLimiter } from './limiter.ts';

export interface AdmissionDeps {
  settings: GatewaySettings;
  clock: Clock;
  metrics: Metrics;
}

/** Sheds requests that this process can't serve in time, the least important first. */
export interface Admission extends Worker {
  /**
   * Admits a request and returns the function to call once at its end, or undefined when the request is shed.
   * `isSampled` is false for requests that are slow for other reasons than load.
   */
  admit(priority: Priority, isSampled: boolean): (() => void) | undefined;
}

// A window takes ten samples of the timer lag, and at least three when each is late. The smallest sample counts: a
// pause of the garbage collector delays one timer, a queue delays all.
const sampleIntervalMs = 10;
const samplesPerWindow = 10;
const samplesMin = 3;

export function createAdmission({ settings, clock, metrics }: AdmissionDeps): Admission {
  const limiter = createLimiter({
    limitMin: settings.ADMISSION_REQUESTS_MIN,
    limitMax: settings.ADMISSION_REQUESTS_MAX,
    slowMs: settings.ADMISSION_SLOW_MS,
    lagMsMax: settings.ADMISSION_LAG_MS_MAX,
  });
  const stopping = new AbortController();
  let monitoring: Promise<void> | undefined;
  metrics.gauge('edge_admission_limit', limiter.limit);
  metrics.gauge('edge_requests_under_way', limiter.inFlight);

  return {
    name: 'gateway.admission',
    async start() {
      monitoring ??= monitorLag();
    },
    async stop() {
      stopping.abort();
      await monitoring;
    },
    admit(priority, isSampled) {
      if (!limiter.enter(priority)) {
        metrics.count('edge_shed_total', { priority: String(priority) });
        return undefined;
      }
      const startedAtMs = clock.nowMs();
      return () => limiter.leave(isSampled ? clock.nowMs() - startedAtMs : undefined);
    },
  };

  async function monitorLag(): Promise<void> {
    while (!stopping.signal.aborted) limiter.adjust(await sampleLagMsMin());
  }

  async function sampleLagMsMin(): Promise<number> {
    let lagMsMin = Number.POSITIVE_INFINITY;
    const windowEndMs = clock.nowMs() + sampleIntervalMs * samplesPerWindow;
    for (let samples = 0; samples < samplesMin || clock.nowMs() < windowEndMs; samples++) {
      if (stopping.signal.aborted) break;
      const dueMs = clock.nowMs() + sampleIntervalMs;
      await clock.sleep(sampleIntervalMs, stopping.signal);
      lagMsMin = Math.min(lagMsMin, clock.nowMs() - dueMs);
    }
    return Math.max(0, lagMsMin);
  }
}
