import type { Priority } from '@platform/http/edge-policy.ts';

/**
 * The share of the limit that a priority may use. The part that lower priorities may not use stays free for higher
 * ones, however many requests of lower priority arrive. Priority 1 may exceed the limit, because the others may have
 * driven it down. The shares are relative, since the limit adapts.
 */
const shares: Readonly<Record<Priority, number>> = { 1: 8, 2: 1, 3: 0.7, 4: 0.4 };

export interface LimiterOptions {
  /** The limit never falls below this number of requests in flight. */
  limitMin: number;
  limitMax: number;
  /** A response that takes longer counts as slow. */
  slowMs: number;
  /** While the process keeps up, its timers fire at most this late. */
  lagMsMax: number;
}

/** Limits the requests in flight, adapting to the latency they cause. */
export interface Limiter {
  /** Returns whether a request may start. Each that started must `leave`. */
  enter(priority: Priority): boolean;
  /** `latencyMs` is undefined when it says nothing about the load because the request is slow for another reason. */
  leave(latencyMs: number | undefined): void;
  /** Ends a window. `lagMs` is the smallest timer lag of the process in it. */
  adjust(lagMs: number): void;
  limit(): number;
  inFlight(): number;
}

// One response in twenty, so the limit controls the 95th percentile.
const slowShareMax = 0.05;
const responsesMin = 20;
const heavyStress = 3;
const decreaseFactor = 0.8;
const heavyDecreaseFactor = 0.5;
const increaseFactor = 1.05;

/**
 * Slow increase, quick decrease. A window is stressed when responses were slow, or when the timers of the process
 * were late, because requests then wait in the socket, where they can't be measured. A stressed window cuts the
 * limit below the requests that were in flight; every other window lets it grow. So the limiter needs no model of
 * what a request costs, recovers by itself, and does not limit an idle machine.
 */
export function createLimiter({ limitMin, limitMax, slowMs, lagMsMax }: LimiterOptions): Limiter {
  let limit = limitMax;
  let inFlight = 0;
  let peak = 0;
  let responses = 0;
  let slowResponses = 0;

  return {
    enter(priority) {
      if (inFlight >= Math.max(1, limit * shares[priority])) return false;
      inFlight++;
      if (inFlight > peak) peak = inFlight;
      return true;
    },
    leave(latencyMs) {
      inFlight--;
      if (latencyMs === undefined) return;
      responses++;
      if (latencyMs > slowMs) slowResponses++;
    },
    adjust(lagMs) {
      const slowStress = responses < responsesMin ? 0 : slowResponses / responses / slowShareMax;
      const stress = Math.max(slowStress, lagMs / lagMsMax);
      if (stress <= 1) limit = Math.min(limitMax, limit * increaseFactor + 1);
      else {
        const factor = stress > heavyStress ? heavyDecreaseFactor : decreaseFactor;
        limit = Math.max(limitMin, Math.min(limit, peak) * factor);
      }
      peak = inFlight;
      responses = 0;
      slowResponses = 0;
    },
    limit: () => Math.floor(limit),
    inFlight: () => inFlight,
  };
}
