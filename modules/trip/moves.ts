import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Action } from './actions.ts';
import type { Decision } from './dispatch/choose.ts';
import { tripEvent } from './events.ts';
import type { TripPolicy } from './settings.ts';
import { type Refusal, type Step, transition } from './state.ts';
import type { TripStore } from './store/store.ts';
import type { Trip } from './trip.ts';

export interface MovesDeps {
  store: TripStore;
  clock: Clock;
  ids: Ids;
  metrics: Metrics;
  policy: TripPolicy;
  /** Called after each write that told something, so that events leave at once. */
  told: () => void;
}

export type Moved =
  | { kind: 'moved'; step: Step }
  | { kind: 'repeated' }
  | { kind: 'refused'; code: Refusal }
  /** Somebody else moved the trip since it was read. */
  | { kind: 'stale' }
  | { kind: 'driver_taken' };

export type Moves = ReturnType<typeof createMoves>;

/** The one way in which a trip changes: decided on the state that was seen, written under its fence. */
export function createMoves({ store, clock, ids, metrics, policy, told }: MovesDeps) {
  return {
    async move(trip: Trip, action: Action, decision?: Decision): Promise<Moved> {
      const decided = transition(trip, action, clock.nowMs(), policy);
      if (decided.kind !== 'moved') return decided;
      const { step } = decided;
      const event = tripEvent(ids, step);
      const saved = await store.save({ step, event, ...(decision === undefined ? {} : { decision }) });
      if (saved !== 'saved') return { kind: saved };
      told();
      measure(step);
      return decided;
    },
  };

  function measure({ trip, entry }: Step): void {
    metrics.count('trip_transitions_total', { to: trip.status, by: entry.actor });
    if (trip.status === 'assigned') metrics.observe('trip_assign_ms', entry.atMs - trip.createdAtMs);
  }
}
