/**
 * What a request is worth when not all can be served, best first: 1 rides under way and payments, 2 new
 * rides and sign-in, 3 positions, 4 everything that can wait (lists, history, drivers around).
 */
export const priorities = [1, 2, 3, 4] as const;
export type Priority = (typeof priorities)[number];

/**
 * How much of the limit a priority may fill. What lower ones may not fill is room that the higher find
 * free, however many of the others come; those of the first may go beyond it, since they find the limit
 * cut to what the others did. Relative only: the limit adapts.
 */
const shares: Readonly<Record<Priority, number>> = { 1: 8, 2: 1, 3: 0.7, 4: 0.4 };

export interface LimiterOptions {
  /** Requests under way that are never too many. */
  limitMin: number;
  limitMax: number;
  /** An answer that takes longer counts as slow. */
  slowMs: number;
  /** The process is late for its own timers by so much at most while it keeps up. */
  lagMsMax: number;
}

/** How many requests may be under way, by what that was seen to do to their latency. */
export interface Limiter {
  /** Whether a request may begin; each that did must `leave`. */
  enter(priority: Priority): boolean;
  /** `latencyMs` undefined: it says nothing of the load (its slowness has another reason). */
  leave(latencyMs: number | undefined): void;
  /** Ends a window: `lagMs` is how late the process was for its timers, at the least, during it. */
  adjust(lagMs: number): void;
  limit(): number;
  inFlight(): number;
}

// One answer in twenty: the limit holds the 95th percentile.
const slowShareMax = 0.05;
const answersMin = 20;
const heavyStress = 3;
const shrink = 0.8;
const shrinkHeavily = 0.5;
const grow = 1.05;

/**
 * A slow increase, a quick decrease. A window that was stressed (slow answers, or a process
 * that is late for its own timers, since requests wait in the socket then, where we do not see them)
 * cuts the limit below what was really under way; every other window lets it grow. So it needs no model
 * of what a request costs, finds its way back by itself, and a machine at rest is not limited at all.
 */
export function createLimiter({ limitMin, limitMax, slowMs, lagMsMax }: LimiterOptions): Limiter {
  let limit = limitMax;
  let underWay = 0;
  let peak = 0;
  let answers = 0;
  let slow = 0;

  return {
    enter(priority) {
      if (underWay >= Math.max(1, limit * shares[priority])) return false;
      underWay++;
      if (underWay > peak) peak = underWay;
      return true;
    },
    leave(latencyMs) {
      underWay--;
      if (latencyMs === undefined) return;
      answers++;
      if (latencyMs > slowMs) slow++;
    },
    adjust(lagMs) {
      const slowStress = answers < answersMin ? 0 : slow / answers / slowShareMax;
      const stress = Math.max(slowStress, lagMs / lagMsMax);
      if (stress <= 1) limit = Math.min(limitMax, limit * grow + 1);
      else {
        const factor = stress > heavyStress ? shrinkHeavily : shrink;
        limit = Math.max(limitMin, Math.min(limit, peak) * factor);
      }
      peak = underWay;
      answers = 0;
      slow = 0;
    },
    limit: () => Math.floor(limit),
    inFlight: () => underWay,
  };
}
