import type { Clock } from '@platform/clock.ts';
import { createDueLoop } from '@platform/due-loop.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { BackgroundSearches } from '../dispatch/searches.ts';
import type { TripPolicy } from '../settings.ts';
import type { TripTransition } from '../state.ts';
import type { TripStore } from '../store/store.ts';
import type { ActiveTrip } from '../trip.ts';
import type { TripAction } from './actions.ts';
import type { Transitions } from './transitions.ts';

export interface TimersDeps {
  store: TripStore;
  transitions: Transitions;
  searches: BackgroundSearches;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  policy: TripPolicy;
  pollMs: number;
  /** Starts the dispatch that a transition needs, without waiting for it. */
  startDispatchIfNeeded: (transition: TripTransition) => void;
}

/** Due timers in flight at most. Each is one statement, and none waits for another service. */
const timersInFlightMax = 50;
const system = { actor: 'system' } as const;

/**
 * Runs the timers of trips: repeats searches, lets offers lapse and ends stuck trips. The timer is a column
 * of the trip, so it survives restarts. The instance that claims a due timer holds it for `dispatchRetryMs`;
 * if that instance dies, the timer is due again for another.
 *
 * Timers never wait for searches, which call other services: a search starts in the background, and the
 * next timers are claimed. So offers lapse on time even while the driver service hangs.
 */
export function createTimers(deps: TimersDeps): Worker {
  const { store, transitions, searches, clock, log, metrics, policy, pollMs, startDispatchIfNeeded } = deps;
  const loop = createDueLoop<ActiveTrip>({
    name: 'trip.timers',
    clock,
    log,
    idleMs: pollMs,
    inFlightMax: timersInFlightMax,
    claimDue: (limit) => store.claimDue(clock.nowMs(), clock.nowMs() + policy.dispatchRetryMs, limit),
    run: runTimer,
  });
  return {
    ...loop,
    async stop() {
      await loop.stop();
      await searches.whenIdle();
    },
  };

  async function runTimer(trip: ActiveTrip): Promise<void> {
    const action = dueActionOf(trip, clock.nowMs());
    if (action === 'dispatch') return searches.start({ tripId: trip.id, version: trip.version });
    metrics.count('trip_timers_total', { action: action.kind, status: trip.status });
    const result = await transitions.apply(trip, action);
    if (result.kind === 'applied') startDispatchIfNeeded(result.transition);
  }
}

/** What the system does with a trip whose timer is due. */
export function dueActionOf(trip: ActiveTrip, nowMs: number): TripAction | 'dispatch' {
  switch (trip.status) {
    case 'requested':
      return nowMs < trip.searchUntilMs ? 'dispatch' : { kind: 'give_up', by: system };
    case 'offered':
      return { kind: 'lapse', by: system, reason: null };
    case 'assigned':
      return { kind: 'cancel', by: system, reason: 'pickup_timeout' };
    case 'arrived':
      return { kind: 'cancel', by: system, reason: 'rider_no_show' };
    case 'in_progress':
      return { kind: 'complete', by: system, reason: 'trip_stuck' };
  }
}
