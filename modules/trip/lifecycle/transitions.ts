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
  /** Called after each write that added an event to the outbox, so that the relay publishes it at once. */
  onEventWritten: () => void;
}

export type TransitionResult =
  | { kind: 'applied'; transition: TripTransition }
  | { kind: 'repeated' }
  | { kind: 'rejected'; code: RejectionCode }
  /** The trip has changed since it was read. */
  | { kind: 'stale' }
  | { kind: 'driver_taken' };

export type Transitions = ReturnType<typeof createTransitions>;

/**
 * The only way in which a trip changes state: the transition is decided on the trip that was read, and
 * written only if the trip still has that version.
 */
export function createTransitions({ store, clock, ids, metrics, policy, onEventWritten }: TransitionsDeps) {
  return {
    async apply(trip: Trip, action: TripAction, decision?: DispatchDecision): Promise<TransitionResult> {
      const decided = decideTransition(trip, action, clock.nowMs(), policy);
      if (decided.kind !== 'allowed') return decided;
      const { transition } = decided;
      const event = createTripEvent(ids, transition);
      const outcome = await store.saveTransition({
        transition,
        event,
        ...(decision === undefined ? {} : { decision }),
      });
      if (outcome !== 'saved') return { kind: outcome };
      onEventWritten();
      countTransition(transition);
      return { kind: 'applied', transition };
    },
  };

  function countTransition({ trip, historyEntry }: TripTransition): void {
    metrics.count('trip_transitions_total', { to: trip.status, by: historyEntry.actor });
    if (trip.status === 'assigned') metrics.observe('trip_assign_ms', historyEntry.atMs - trip.createdAtMs);
  }
}
