import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Breaker } from './breaker.ts';
import { type Instance, isAvailable } from './instance.ts';

/**
 * `answered`: with any status. `refused`: nothing listens, nothing was sent. `failed`: no complete answer.
 * `unknown`: the client disconnected first, which proves nothing about the instance.
 *
 * A client chooses what is sent. So a failed request alone never counts against an instance or the breaker: a probe
 * follows that no client influences, and the requests count only when the probe gets no answer either. A request that
 * crashes an instance costs its sender an answer and nobody else anything.
 */
export type UpstreamOutcome = 'answered' | 'refused' | 'failed' | 'unknown';

export interface OutlierDetectorDeps {
  /** Of the upstream. */
  name: string;
  instances(): readonly Instance[];
  breaker: Breaker;
  /** Whether the instance answers at all. */
  isAlive(instance: Instance): Promise<boolean>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** Ejects instances that fail again and again, or where nothing listens. */
export interface OutlierDetector {
  /** Records an outcome other than `failed`. */
  record(instance: Instance, outcome: Exclude<UpstreamOutcome, 'failed'>): void;
  /** Probes an instance after a failed request, which counts only when the probe fails too. */
  verifyFailure(instance: Instance): Promise<void>;
}

const failuresMax = 5;
const ejectionMs = 2_000;
const ejectionMsMax = 30_000;

export function createOutlierDetector(deps: OutlierDetectorDeps): OutlierDetector {
  const { name, instances, breaker, isAlive, clock, log, metrics } = deps;
  return {
    record: applyOutcome,
    /** One probe decides for all requests that failed before it was answered. */
    async verifyFailure(instance) {
      if (instance.unverifiedFailures++ > 0) return;
      const alive = await isAlive(instance);
      const failures = instance.unverifiedFailures;
      instance.unverifiedFailures = 0;
      metrics.count('upstream_probes_total', { upstream: name, alive: String(alive) });
      if (alive) return;
      breaker.recordFailures(failures);
      for (let count = 0; count < failures; count++) applyOutcome(instance, 'failed');
    },
  };

  function applyOutcome(instance: Instance, outcome: UpstreamOutcome): void {
    if (outcome === 'unknown') return;
    if (outcome === 'answered') {
      instance.consecutiveFailures = 0;
      instance.consecutiveEjections = 0;
      return;
    }
    instance.consecutiveFailures++;
    metrics.count('upstream_failures_total', { upstream: name, outcome });
    if (outcome === 'failed' && (instance.consecutiveFailures < failuresMax || isHalfUnavailable())) return;
    const nowMs = clock.nowMs();
    if (instance.ejectedUntilMs > nowMs) return;
    instance.ejectedUntilMs =
      nowMs + Math.min(ejectionMsMax, ejectionMs * 2 ** instance.consecutiveEjections++);
    metrics.count('upstream_ejections_total', { upstream: name, outcome });
    log.warn({ upstream: name, instance: instance.url, outcome }, 'instance ejected');
  }

  /** Failures that all instances share are no reason to eject them all. */
  function isHalfUnavailable(): boolean {
    const nowMs = clock.nowMs();
    const all = instances();
    return all.filter((instance) => !isAvailable(instance, nowMs)).length * 2 >= all.length;
  }
}
