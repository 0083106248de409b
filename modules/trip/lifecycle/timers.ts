import type { Clock } from '@platform/clock.ts';
import { createDueLoop } from '@platform/due-loop.ts';
import type { Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { BackgroundSearches } from '../dispatch/searches.ts';
import type { TripPolicy } from '../settings.ts';
import type { TripTransition } from '../state.ts';
import type { TripStore } from '../store/store.ts';
import type { Trip } from '../trip.ts';
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
  /** Begins what a step leads to, without waiting for it. */
  startDispatchIfNeeded: (step: TripTransition) => void;
}

/** Timers that are acted upon at the same time: each act is one statement, and none waits for another service. */
const actsInFlightMax = 50;
const system = { actor: 'system' } as const;

/**
 * Acts when nobody else did: searches again, lets offers lapse, ends trips that are stuck. The timers
 * are a column of the trips, so they survive every restart; the instance that finds one due takes it for
 * `dispatchRetryMs`, and if that instance dies the timer is due again for another.
 *
 * Timers never wait for searches, which call other services: a search is begun, and the next timers are
 * claimed. A lapse or a no-show is as punctual while the driver service hangs as ever.
 */
export function createTimers(deps: TimersDeps): Worker {
  const { store, transitions, searches, clock, log, metrics, policy, pollMs, startDispatchIfNeeded } = deps;
  const loop = createDueLoop<Trip>({
    name: 'trip.timers',
    clock,
    log,
    idleMs: pollMs,
    inFlightMax: actsInFlightMax,
    claimDue: (limit) => store.claimDue(clock.nowMs(), clock.nowMs() + policy.dispatchRetryMs, limit),
    run,
  });
  return {
    ...loop,
    async stop() {
      await loop.stop();
      await searches.whenIdle();
    },
  };

  async function run(trip: Trip): Promise<void> {
    const action = dueActionOf(trip, clock.nowMs());
    if (action === 'dispatch') return searches.start({ tripId: trip.id, version: trip.version });
    metrics.count('trip_timers_total', { action: action.kind, status: trip.status });
    const moved = await transitions.apply(trip, action);
    if (moved.kind === 'moved') startDispatchIfNeeded(moved.step);
  }
}

/** What the system does with a trip whose timer has rung. */
export function dueActionOf(trip: Trip, nowMs: number): TripAction | 'dispatch' {
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
    case 'completed':
    case 'cancelled':
    case 'unfulfilled':
      throw new Error(`trip ${trip.id} is ${trip.status} and has a timer`);
  }
}
