import type { Clock } from '../clock.ts';
import { createHttp1Client } from '../http1/client.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { createBreaker } from './breaker.ts';
import { upstreamProblem } from './errors.ts';
import { chooseInstance, createInstance, type Instance, isAvailable } from './instance.ts';
import { createOutlierDetector, type UpstreamOutcome } from './outlier-detector.ts';
import { probeInstance } from './probe.ts';
import { createRetryBudget } from './retry-budget.ts';

export interface InstanceLease {
  instance: Instance;
  release(outcome: UpstreamOutcome): void;
}

export interface AcquireOptions {
  /** The instance that failed before; chosen again only when there is no other one. */
  exclude?: Instance;
}

export interface Upstream {
  readonly name: string;
  /**
   * Leases the instance with the fewest requests in flight, which has one more until `release` is called with the
   * outcome. Throws `upstream.unavailable` when the bulkhead is full, the breaker open, or no instance known.
   */
  acquire(options?: AcquireOptions): InstanceLease;
  /** Takes a retry from the budget. Returns false when a failed request may not be sent again. */
  consumeRetry(): boolean;
  instances(): readonly Instance[];
  /**
   * Replaces the instances. One that is missing now gets no new requests and finishes those in flight. One that is
   * new beside others gets its first request once a health check has found it ready.
   */
  update(urls: readonly string[]): void;
  close(): void;
}

export interface UpstreamOptions {
  name: string;
  urls: readonly string[];
  concurrencyMax: number;
  connectTimeoutMs: number;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Whether the instance answers at all; called after a request without an answer. */
  isAlive?: (instance: Instance) => Promise<boolean>;
}

const probeTimeoutMs = 1_000;

/**
 * The instances of one service: balanced by the fewest requests in flight, at most `concurrencyMax` in total, with one
 * breaker for all. An instance that refuses connections or fails again and again is ejected for a while; one that is
 * not ready is skipped. When no instance is left, all are used, since only a request can show that they are back.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { name, concurrencyMax, clock, log, metrics } = options;
  const breaker = createBreaker(clock);
  const budget = createRetryBudget(concurrencyMax);
  const { isAlive = probeIsAlive(clock) } = options;
  let instances: Instance[] = options.urls.map((url) => open(url, true));
  const outliers = createOutlierDetector({
    ...{ name, breaker, isAlive, clock, log, metrics },
    instances: () => instances,
  });
  let inFlight = 0;
  let turn = 0;

  metrics.gauge('upstream_outstanding', () => inFlight, { upstream: name });
  metrics.gauge('upstream_instances', () => instances.length, { upstream: name });
  metrics.gauge('upstream_instances_in', countAvailable, { upstream: name });
  metrics.gauge('upstream_breaker_open', () => (breaker.state() === 'closed' ? 0 : 1), { upstream: name });

  return {
    name,
    acquire({ exclude } = {}) {
      if (inFlight >= concurrencyMax) throw unavailable(`${name} is overloaded`);
      const instance = chooseInstance(instances, clock.nowMs(), turn++, exclude);
      if (instance === undefined) throw unavailable(`no instance of ${name} is known`);
      const permit = breaker.admit();
      if (permit === undefined) throw unavailable(`${name} does not answer`);
      if (exclude === undefined) budget.recordRequest();
      inFlight++;
      instance.inFlight++;
      let isReleased = false;
      return {
        instance,
        release(outcome) {
          if (isReleased) return;
          isReleased = true;
          inFlight--;
          instance.inFlight--;
          if (outcome === 'failed') {
            breaker.settle(permit, 'unknown');
            void outliers.verifyFailure(instance);
          } else {
            breaker.settle(permit, outcome === 'refused' ? 'failed' : outcome);
            outliers.record(instance, outcome);
          }
        },
      };
    },
    consumeRetry() {
      const allowed = budget.tryConsume();
      metrics.count('upstream_repeats_total', { upstream: name, allowed: String(allowed) });
      return allowed;
    },
    instances: () => instances,
    update(urls) {
      const known = new Map(instances.map((instance) => [instance.url, instance]));
      const isFirst = known.size === 0;
      instances = urls.map((url) => known.get(url) ?? open(url, isFirst));
      const kept = new Set(urls);
      for (const [url, instance] of known) if (!kept.has(url)) instance.client.retire();
    },
    close() {
      for (const { client } of instances) client.close();
    },
  };

  function open(url: string, isReady: boolean): Instance {
    const client = createHttp1Client({ url, clock, connectTimeoutMs: options.connectTimeoutMs });
    return createInstance(url, client, isReady);
  }

  function countAvailable(): number {
    const nowMs = clock.nowMs();
    return instances.filter((instance) => isAvailable(instance, nowMs)).length;
  }
}

const probeIsAlive = (clock: Clock) => async (instance: Instance) =>
  (await probeInstance(instance, { clock, timeoutMs: probeTimeoutMs })).isAlive;

const unavailable = (detail: string) => upstreamProblem('upstream.unavailable', { detail });
