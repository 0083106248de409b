import type { Clock } from '@platform/clock.ts';
import { createLoop, type Loop } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Dispatcher } from './dispatch/dispatcher.ts';
import type { Moves } from './moves.ts';
import type { TripPolicy } from './settings.ts';
import type { Action, Step } from './state.ts';
import type { TripStore } from './store/store.ts';
import type { Trip } from './trip.ts';

export interface TimersDeps {
  store: TripStore;
  moves: Moves;
  dispatcher: Dispatcher;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  policy: TripPolicy;
  pollMs: number;
  followUp: (step: Step) => Promise<void>;
}

const batchMax = 50;
const system = { actor: 'system' } as const;

/**
 * Acts when nobody else did: searches again, lets offers lapse, ends trips that are stuck. The timers
 * are a column of the trips, so they survive every restart; whoever finds one due takes it for
 * `dispatchRetryMs`, and if that one dies it rings again for another.
 */
export function createTimers(deps: TimersDeps): Loop {
  const { store, moves, dispatcher, clock, log, metrics, policy, pollMs, followUp } = deps;
  return createLoop({ name: 'trip.timers', clock, log, idleMs: pollMs, step });

  async function step(): Promise<boolean> {
    const nowMs = clock.nowMs();
    const due = await store.claimDue(nowMs, nowMs + policy.dispatchRetryMs, batchMax);
    const rung = due.map((trip) => ({ trip, action: actionWhenDue(trip, nowMs) }));
    const searching = rung.flatMap(({ trip, action }) =>
      action === 'dispatch' ? [{ tripId: trip.id, version: trip.version }] : [],
    );
    await Promise.all([
      dispatcher.dispatchTogether(searching),
      ...rung.map(({ trip, action }) => (action === 'dispatch' ? undefined : act(trip, action))),
    ]);
    return due.length === batchMax;
  }

  async function act(trip: Trip, action: Action): Promise<void> {
    metrics.count('trip_timers_total', { action: action.kind, status: trip.status });
    try {
      const moved = await moves.move(trip, action);
      if (moved.kind === 'moved') await followUp(moved.step);
    } catch (error) {
      log.warn({ tripId: trip.id, err: error }, 'a timer failed; it rings again');
    }
  }
}

/** What the system does with a trip whose timer has rung. */
export function actionWhenDue(trip: Trip, nowMs: number): Action | 'dispatch' {
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
      return { kind: 'cancel', by: system, reason: 'trip_stuck' };
    case 'completed':
    case 'cancelled':
    case 'unfulfilled':
      throw new Error(`trip ${trip.id} is ${trip.status} and has a timer`);
  }
}
