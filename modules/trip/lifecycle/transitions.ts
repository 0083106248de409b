import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { DispatchDecision } from '../dispatch/choices.ts';
import { createTripEvent } from '../events.ts';
import type { TripPolicy } from '../settings.ts';
import { decideTransition, type RejectionCode, type TripTransition } from '../state.ts';
import type { TripStore } from '../store/store.ts';
import type { Trip } from '../trip.ts';
import type { TripAction } from './actions.ts';

export interface TransitionsDeps {
  store: TripStore;
  clock: Clock;
  ids: Ids;
  metrics: Metrics;
  policy: TripPolicy;
  /** Called after each write that told something, so that events leave at once. */
  onEventWritten: () => void;
}

export type TransitionResult =
  | { kind: 'moved'; step: TripTransition }
  | { kind: 'repeated' }
  | { kind: 'refused'; code: RejectionCode }
  /** Somebody else moved the trip since it was read. */
  | { kind: 'stale' }
  | { kind: 'driver_taken' };

export type Transitions = ReturnType<typeof createTransitions>;

/** The one way in which a trip changes: decided on the state that was seen, written under its fence. */
export function createTransitions({ store, clock, ids, metrics, policy, onEventWritten }: TransitionsDeps) {
  return {
    async apply(trip: Trip, action: TripAction, decision?: DispatchDecision): Promise<TransitionResult> {
      const decided = decideTransition(trip, action, clock.nowMs(), policy);
      if (decided.kind !== 'moved') return decided;
      const { step } = decided;
      const event = createTripEvent(ids, step);
      const saved = await store.saveTransition({
        transition: step,
        event,
        ...(decision === undefined ? {} : { decision }),
      });
      if (saved !== 'saved') return { kind: saved };
      onEventWritten();
      measure(step);
      return decided;
    },
  };

  function measure({ trip, historyEntry }: TripTransition): void {
    metrics.count('trip_transitions_total', { to: trip.status, by: historyEntry.actor });
    if (trip.status === 'assigned') metrics.observe('trip_assign_ms', historyEntry.atMs - trip.createdAtMs);
  }
}
