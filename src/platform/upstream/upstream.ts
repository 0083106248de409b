import type { Clock } from '../clock.ts';
import { createHttp1Client, type Http1Client } from '../http1/client.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { createBreaker } from './breaker.ts';
import { upstreamProblem } from './errors.ts';
import { probeInstance } from './probe.ts';
import { createRetryBudget } from './retry-budget.ts';

/** One instance of a service, as this process sees it. */
export interface Instance {
  readonly url: string;
  readonly client: Http1Client;
  inFlight: number;
  /** In a row. */
  consecutiveFailures: number;
  /** Left out until then: it failed too often in a row, or nobody listened. */
  ejectedUntilMs: number;
  /** In a row, without an answer in between: each time it is left out longer. */
  consecutiveEjections: number;
  /** What its health check says. */
  isReady: boolean;
  /** Requests that got no whole answer, until a probe has told whether the instance is to blame. */
  unverifiedFailures: number;
}

/**
 * `answered`: with whatever status. `refused`: nothing listens, nothing was sent. `failed`: no whole answer.
 * `unknown`: the client went away first, which says nothing of the instance.
 *
 * What was sent is a client's choice, and so a failed request alone never counts against an instance or
 * the breaker: a probe follows that no client has any part in, and only when that gets no answer either do
 * the requests count. A request that an instance cannot stand costs its sender an answer and others nothing.
 */
export type UpstreamOutcome = 'answered' | 'refused' | 'failed' | 'unknown';

export interface InstanceLease {
  instance: Instance;
  release(outcome: UpstreamOutcome): void;
}

export interface Upstream {
  readonly name: string;
  /**
   * The instance with the fewest requests under way, rather not `notThis`, counted as one more until
   * `release` is called with how it went. Throws `upstream.unavailable` when the bulkhead is full, the
   * breaker open, or no instance known.
   */
  acquire(notThis?: Instance): InstanceLease;
  /** Whether a request that failed may be sent once more. */
  consumeRetry(): boolean;
  instances(): readonly Instance[];
  /**
   * The instances are these now. One that is missing gets nothing new and ends what it has in flight; one that
   * is new beside others gets its first request once a health check has found it ready.
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
  /** Whether the instance answers at all; asked after a request that got no answer. */
  isAlive?: (instance: Instance) => Promise<boolean>;
}

const probeTimeoutMs = 1_000;
const failuresMax = 5;
const ejectionMs = 2_000;
const ejectionMsMax = 30_000;

/**
 * The instances of one service: balanced by least outstanding requests, at most `concurrencyMax` under
 * way in all, behind one breaker. An instance where nobody listens, or that fails again and again, is left
 * out for a while, and so is one that says that it is not ready. When that leaves nobody, all are used:
 * somebody has to find out that they are back.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { name, concurrencyMax, clock, log, metrics } = options;
  const breaker = createBreaker(clock);
  const budget = createRetryBudget(concurrencyMax);
  const {
    isAlive = async (one) => (await probeInstance(one, { clock, timeoutMs: probeTimeoutMs })).isAlive,
  } = options;
  let instances: Instance[] = options.urls.map((url) => open(url, true));
  let outstanding = 0;
  let turn = 0;

  metrics.gauge('upstream_outstanding', () => outstanding, { upstream: name });
  metrics.gauge('upstream_instances', () => instances.length, { upstream: name });
  metrics.gauge('upstream_instances_in', () => instances.filter((one) => isIn(one, clock.nowMs())).length, {
    upstream: name,
  });
  metrics.gauge('upstream_breaker_open', () => (breaker.state() === 'closed' ? 0 : 1), { upstream: name });

  return {
    name,
    acquire(notThis) {
      if (outstanding >= concurrencyMax) throw unavailable(`${name} is overloaded`);
      const instance = choose(instances, clock.nowMs(), turn++, notThis);
      if (instance === undefined) throw unavailable(`no instance of ${name} is known`);
      const permit = breaker.admit();
      if (permit === undefined) throw unavailable(`${name} does not answer`);
      if (notThis === undefined) budget.recordRequest();
      outstanding++;
      instance.inFlight++;
      let open = true;
      return {
        instance,
        release(outcome) {
          if (!open) return;
          open = false;
          outstanding--;
          instance.inFlight--;
          if (outcome === 'failed') {
            breaker.settle(permit, 'unknown');
            void explain(instance);
          } else {
            breaker.settle(permit, outcome === 'refused' ? 'failed' : outcome);
            judge(instance, outcome);
          }
        },
      };
    },
    consumeRetry() {
      const may = budget.tryConsume();
      metrics.count('upstream_repeats_total', { upstream: name, allowed: String(may) });
      return may;
    },
    instances: () => instances,
    update(urls) {
      const known = new Map(instances.map((instance) => [instance.url, instance]));
      const isFirst = known.size === 0;
      instances = urls.map((url) => known.get(url) ?? open(url, isFirst));
      const stay = new Set(urls);
      for (const [url, instance] of known) if (!stay.has(url)) instance.client.retire();
    },
    close() {
      for (const { client } of instances) client.close();
    },
  };

  /** One probe speaks for all requests that failed before it was answered. */
  async function explain(instance: Instance): Promise<void> {
    if (instance.unverifiedFailures++ > 0) return;
    const alive = await isAlive(instance);
    const failed = instance.unverifiedFailures;
    instance.unverifiedFailures = 0;
    metrics.count('upstream_probes_total', { upstream: name, alive: String(alive) });
    if (alive) return;
    breaker.recordFailures(failed);
    for (let count = 0; count < failed; count++) judge(instance, 'failed');
  }

  function judge(instance: Instance, outcome: UpstreamOutcome): void {
    if (outcome === 'unknown') return;
    if (outcome === 'answered') {
      instance.consecutiveFailures = 0;
      instance.consecutiveEjections = 0;
      return;
    }
    instance.consecutiveFailures++;
    metrics.count('upstream_failures_total', { upstream: name, outcome });
    if (outcome === 'failed' && (instance.consecutiveFailures < failuresMax || halfAreOut())) return;
    if (instance.ejectedUntilMs > clock.nowMs()) return;
    instance.ejectedUntilMs =
      clock.nowMs() + Math.min(ejectionMsMax, ejectionMs * 2 ** instance.consecutiveEjections++);
    metrics.count('upstream_ejections_total', { upstream: name, outcome });
    log.warn({ upstream: name, instance: instance.url, outcome }, 'instance left out for a while');
  }

  /** Failures that all instances share are no reason to leave them all out. */
  function halfAreOut(): boolean {
    const nowMs = clock.nowMs();
    return instances.filter((one) => !isIn(one, nowMs)).length * 2 >= instances.length;
  }

  function open(url: string, isReady: boolean): Instance {
    const client = createHttp1Client({ url, clock, connectTimeoutMs: options.connectTimeoutMs });
    return {
      url,
      client,
      inFlight: 0,
      consecutiveFailures: 0,
      ejectedUntilMs: 0,
      consecutiveEjections: 0,
      isReady,
      unverifiedFailures: 0,
    };
  }
}

const unavailable = (detail: string) => upstreamProblem('upstream.unavailable', { detail });

const isIn = ({ isReady, ejectedUntilMs }: Instance, nowMs: number): boolean =>
  isReady && ejectedUntilMs <= nowMs;

/** Least outstanding among those that are in; of equals each gets its turn. When none is in, among all. */
function choose(
  instances: readonly Instance[],
  nowMs: number,
  turn: number,
  notThis: Instance | undefined,
): Instance | undefined {
  let best: Instance | undefined;
  let anyBest: Instance | undefined;
  for (let offset = 0; offset < instances.length; offset++) {
    const one = instances[(turn + offset) % instances.length];
    if (one === undefined) continue;
    if (one === notThis && instances.length > 1) continue;
    if (anyBest === undefined || one.inFlight < anyBest.inFlight) anyBest = one;
    if (isIn(one, nowMs) && (best === undefined || one.inFlight < best.inFlight)) best = one;
  }
  return best ?? anyBest;
}
