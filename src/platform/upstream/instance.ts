import type { Http1Client } from '../http1/client.ts';

/** One instance of a service, as this process sees it. */
export interface Instance {
  readonly url: string;
  readonly client: Http1Client;
  inFlight: number;
  consecutiveFailures: number;
  /** Ejected until then: it failed too often in a row, or refused a connection. */
  ejectedUntilMs: number;
  /** Ejections without an answer in between: each lasts longer than the last one. */
  consecutiveEjections: number;
  /** The result of its health checks. */
  isReady: boolean;
  /** Requests without a complete answer, until a probe has shown whether the instance is at fault. */
  unverifiedFailures: number;
}

export const createInstance = (url: string, client: Http1Client, isReady: boolean): Instance => ({
  url,
  client,
  inFlight: 0,
  consecutiveFailures: 0,
  ejectedUntilMs: 0,
  consecutiveEjections: 0,
  isReady,
  unverifiedFailures: 0,
});

export const isAvailable = ({ isReady, ejectedUntilMs }: Instance, nowMs: number): boolean =>
  isReady && ejectedUntilMs <= nowMs;

/**
 * The available instance with the fewest requests in flight; instances with equally many take turns. When none is
 * available, all are considered.
 */
export function chooseInstance(
  instances: readonly Instance[],
  nowMs: number,
  turn: number,
  exclude: Instance | undefined,
): Instance | undefined {
  let bestAvailable: Instance | undefined;
  let best: Instance | undefined;
  for (let offset = 0; offset < instances.length; offset++) {
    const instance = instances[(turn + offset) % instances.length];
    if (instance === undefined) continue;
    if (instance === exclude && instances.length > 1) continue;
    if (best === undefined || instance.inFlight < best.inFlight) best = instance;
    if (
      isAvailable(instance, nowMs) &&
      (bestAvailable === undefined || instance.inFlight < bestAvailable.inFlight)
    )
      bestAvailable = instance;
  }
  return bestAvailable ?? best;
}
