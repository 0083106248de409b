import type { Clock } from '../clock.ts';
import { createLoop, type Worker } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { Instance } from './instance.ts';
import { probeInstance } from './probe.ts';
import type { Upstream } from './upstream.ts';

export interface HealthCheckOptions {
  upstreams: readonly Upstream[];
  clock: Clock;
  log: Log;
  intervalMs: number;
}

// One failed check proves little: a service may be collecting garbage.
const failedChecksMax = 2;

/** Checks periodically whether every instance may receive traffic. */
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
    const { isReady: hasPassed } = await probeInstance(instance, {
      clock,
      timeoutMs: intervalMs,
      isGone: () => signal.aborted,
    });
    const failed = hasPassed ? 0 : (failedChecks.get(instance) ?? 0) + 1;
    failedChecks.set(instance, failed);
    const isReady = hasPassed || (instance.isReady && failed < failedChecksMax);
    if (isReady === instance.isReady) return;
    instance.isReady = isReady;
    log.warn(
      { upstream: upstream.name, instance: instance.url, ready: isReady },
      'instance readiness changed',
    );
  }
}
