import type { Clock } from '@platform/clock.ts';
import { fault } from './errors.ts';

/** One instance of a context, as this edge sees it. */
export interface Instance {
  url: string;
  outstanding: number;
  failures: number;
  /** Left out until then, after too many failures in a row. */
  ejectedUntilMs: number;
}

export interface Upstream {
  /**
   * The instance with the fewest requests under way, counted as one more until `release` is called
   * with how it went. Throws `upstream.unavailable` when the bulkhead is full.
   */
  acquire(): Lease;
}
export interface Lease {
  instance: Instance;
  release(outcome: 'answered' | 'failed'): void;
}

const failuresMax = 5;
const ejectionMs = 2_000;

/**
 * The instances of one context: balanced by least outstanding requests, at most `concurrencyMax`
 * under way in all, an instance that fails again and again left out for a while. When all are out,
 * the one whose time ends first is tried: somebody has to find out that it is back.
 */
export function createUpstream(
  name: string,
  urls: readonly string[],
  concurrencyMax: number,
  clock: Clock,
): Upstream {
  const instances: Instance[] = urls.map((url) => ({ url, outstanding: 0, failures: 0, ejectedUntilMs: 0 }));
  let outstanding = 0;

  return {
    acquire() {
      const instance = choose(instances, clock.nowMs());
      if (instance === undefined)
        throw fault('upstream.unavailable', { detail: `no instance of ${name} is known` });
      if (outstanding >= concurrencyMax)
        throw fault('upstream.unavailable', { detail: `${name} is overloaded` });
      outstanding++;
      instance.outstanding++;
      return { instance, release: (outcome) => settle(instance, outcome) };
    },
  };

  function settle(instance: Instance, outcome: 'answered' | 'failed') {
    outstanding--;
    instance.outstanding--;
    instance.failures = outcome === 'answered' ? 0 : instance.failures + 1;
    if (instance.failures >= failuresMax) instance.ejectedUntilMs = clock.nowMs() + ejectionMs;
  }
}

/** Least outstanding among those that are in; else the one that comes back first. */
function choose(instances: readonly Instance[], nowMs: number): Instance | undefined {
  const inside = instances.filter(({ ejectedUntilMs }) => ejectedUntilMs <= nowMs);
  if (inside.length > 0)
    return inside.reduce((best, one) => (one.outstanding < best.outstanding ? one : best));
  return instances.toSorted((a, b) => a.ejectedUntilMs - b.ejectedUntilMs)[0];
}
