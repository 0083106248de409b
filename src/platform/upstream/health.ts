import type { Clock } from '../clock.ts';
import { createLoop, type Worker } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import { probeInstance } from './probe.ts';
import type { Instance, Upstream } from './upstream.ts';

export interface HealthCheckOptions {
  upstreams: readonly Upstream[];
  clock: Clock;
  log: Log;
  intervalMs: number;
}

// One lost check says little: a service that collects garbage is not dead.
const failedChecksMax = 2;

/** Asks every instance again and again whether it may take traffic. */
export function createHealthChecks({ upstreams, clock, log, intervalMs }: HealthCheckOptions): Worker {
  const failedChecks = new WeakMap<Instance, number>();

  return createLoop({
    name: 'upstream:health',
    clock,
    log,
    idleMs: intervalMs,
    step: async (signal) => {
      await Promise.all(
        upstreams.flatMap((upstream) =>
          upstream.instances().map((instance) => check(upstream, instance, signal)),
        ),
      );
      return false;
    },
  });

  async function check(upstream: Upstream, instance: Instance, signal: AbortSignal): Promise<void> {
    const { isReady: passed } = await probeInstance(instance, {
      clock,
      timeoutMs: intervalMs,
      isGone: () => signal.aborted,
    });
    const failed = passed ? 0 : (failedChecks.get(instance) ?? 0) + 1;
    failedChecks.set(instance, failed);
    const ready = passed || (instance.isReady && failed < failedChecksMax);
    if (ready === instance.isReady) return;
    instance.isReady = ready;
    log.warn({ upstream: upstream.name, instance: instance.url, ready }, 'instance readiness changed');
  }
}
