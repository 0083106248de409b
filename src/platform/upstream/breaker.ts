import type { Clock } from '../clock.ts';

/**
 * closed ──too many calls fail──► open ──openMs──► half_open ──trials answered──► closed
 *                                  ▲                   │
 *                                  └──a trial fails────┘
 */
type State =
  | { kind: 'closed'; calls: number; failures: number; halvedAtMs: number }
  | { kind: 'open'; untilMs: number }
  | { kind: 'half_open'; underWay: number; answered: number };

export interface Breaker {
  /** The permit for one call, or undefined: do not even try. Tell `settle` how each permitted call went. */
  admit(): BreakerPermit | undefined;
  /** `unknown`: the call says nothing of the upstream; `fail` may follow once more is known. */
  settle(permit: BreakerPermit, outcome: 'answered' | 'failed' | 'unknown'): void;
  /** So many calls that were settled as unknown have failed after all. */
  recordFailures(calls: number): void;
  state(): State['kind'];
}

/** Given out in one state; means nothing in the next. */
export type BreakerPermit = State;

const callsMin = 20;
const failureShareMax = 0.5;
// Older calls count half as much after each of these.
const halfLifeMs = 5_000;
const openMs = 1_000;
const trialsMax = 5;
const trialsAnsweredMin = 3;

/**
 * Stops asking an upstream of which at least half of the latest calls failed, so that callers hear at once what they
 * would hear late. What counts as failed is the transport's business: an upstream that answers 503 works.
 */
export function createBreaker(clock: Clock): Breaker {
  let state: State = closed();

  return {
    state: () => state.kind,
    admit() {
      if (state.kind === 'open' && clock.nowMs() >= state.untilMs)
        state = { kind: 'half_open', underWay: 0, answered: 0 };
      if (state.kind === 'open') return undefined;
      if (state.kind === 'half_open') {
        if (state.underWay >= trialsMax) return undefined;
        state.underWay++;
      }
      return state;
    },
    settle(permit, outcome) {
      if (permit !== state || state.kind === 'open') return;
      if (state.kind === 'half_open') state.underWay--;
      if (outcome === 'unknown') return;
      state =
        state.kind === 'closed'
          ? afterCall(state, outcome === 'failed')
          : afterTrial(state, outcome === 'failed');
    },
    recordFailures(calls) {
      state = afterFailures(calls);
    },
  };

  function afterFailures(calls: number): State {
    let after = state;
    for (let call = 0; call < calls && after.kind === 'closed'; call++) after = afterCall(after, true);
    return after.kind === 'half_open' ? afterTrial(after, true) : after;
  }

  function afterCall(now: State & { kind: 'closed' }, failed: boolean): State {
    const nowMs = clock.nowMs();
    if (nowMs - now.halvedAtMs >= halfLifeMs) {
      now.calls /= 2;
      now.failures /= 2;
      now.halvedAtMs = nowMs;
    }
    now.calls++;
    if (failed) now.failures++;
    const broken = now.calls >= callsMin && now.failures >= now.calls * failureShareMax;
    return broken ? { kind: 'open', untilMs: nowMs + openMs } : now;
  }

  function afterTrial(now: State & { kind: 'half_open' }, failed: boolean): State {
    if (failed) return { kind: 'open', untilMs: clock.nowMs() + openMs };
    return ++now.answered >= trialsAnsweredMin ? closed() : now;
  }

  function closed(): State {
    return { kind: 'closed', calls: 0, failures: 0, halvedAtMs: clock.nowMs() };
  }
}
