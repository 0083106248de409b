import type { Clock } from '../clock.ts';

/**
 * closed ──too many calls fail──► open ──openMs──► half_open ──trials answered──► closed
 *                                  ▲                   │
 *                                  └──a trial fails────┘
 */
type State =
  | { kind: 'closed'; calls: number; failures: number; halvedAtMs: number }
  | { kind: 'open'; untilMs: number }
  | { kind: 'half_open'; inFlight: number; answered: number };

export interface Breaker {
  /** A permit for one call, or undefined when the call must not be tried. Report its outcome with `settle`. */
  admit(): BreakerPermit | undefined;
  /** `unknown`: the call proves nothing about the upstream; `recordFailures` may follow once more is known. */
  settle(permit: BreakerPermit, outcome: 'answered' | 'failed' | 'unknown'): void;
  /** Records that calls which were settled as unknown have failed after all. */
  recordFailures(calls: number): void;
  state(): State['kind'];
}

/** Issued in one state, and ignored in the next. */
export type BreakerPermit = State;

const callsMin = 20;
const failureShareMax = 0.5;
// After each such period the calls so far count half as much.
const halfLifeMs = 5_000;
const openMs = 1_000;
const trialsMax = 5;
const trialsAnsweredMin = 3;

/**
 * Stops calling an upstream once at least half of the latest calls failed, so that callers fail immediately instead of
 * after a timeout. Only transport errors count: an upstream that answers 503 works.
 */
export function createBreaker(clock: Clock): Breaker {
  let state: State = closed();

  return {
    state: () => state.kind,
    admit() {
      if (state.kind === 'open' && clock.nowMs() >= state.untilMs)
        state = { kind: 'half_open', inFlight: 0, answered: 0 };
      if (state.kind === 'open') return undefined;
      if (state.kind === 'half_open') {
        if (state.inFlight >= trialsMax) return undefined;
        state.inFlight++;
      }
      return state;
    },
    settle(permit, outcome) {
      if (permit !== state || state.kind === 'open') return;
      if (state.kind === 'half_open') state.inFlight--;
      if (outcome === 'unknown') return;
      state =
        state.kind === 'closed'
          ? nextAfterCall(state, outcome === 'failed')
          : nextAfterTrial(state, outcome === 'failed');
    },
    recordFailures(calls) {
      state = nextAfterFailures(calls);
    },
  };

  function nextAfterFailures(calls: number): State {
    let next = state;
    for (let call = 0; call < calls && next.kind === 'closed'; call++) next = nextAfterCall(next, true);
    return next.kind === 'half_open' ? nextAfterTrial(next, true) : next;
  }

  function nextAfterCall(current: State & { kind: 'closed' }, failed: boolean): State {
    const nowMs = clock.nowMs();
    if (nowMs - current.halvedAtMs >= halfLifeMs) {
      current.calls /= 2;
      current.failures /= 2;
      current.halvedAtMs = nowMs;
    }
    current.calls++;
    if (failed) current.failures++;
    const isTripped = current.calls >= callsMin && current.failures >= current.calls * failureShareMax;
    return isTripped ? { kind: 'open', untilMs: nowMs + openMs } : current;
  }

  function nextAfterTrial(current: State & { kind: 'half_open' }, failed: boolean): State {
    if (failed) return { kind: 'open', untilMs: clock.nowMs() + openMs };
    return ++current.answered >= trialsAnsweredMin ? closed() : current;
  }

  function closed(): State {
    return { kind: 'closed', calls: 0, failures: 0, halvedAtMs: clock.nowMs() };
  }
}
