import { expect } from 'bun:test';
import type { TripAction } from '../lifecycle/actions.ts';
import type { TripPolicy } from '../settings.ts';
import { decideTransition, type RejectionCode, type TripTransition } from '../state.ts';
import type { Trip } from '../trip.ts';

/** Tests of `decideTransition` in the form given, when, then. Times are milliseconds after `startMs`. */
export function createGiven(startMs: number, policy: TripPolicy) {
  return given;

  function given(trip: Trip) {
    return {
      trip,
      when(action: TripAction, afterMs: number) {
        const decision = decideTransition(trip, action, startMs + afterMs, policy);
        return {
          /** Expects a transition that matches, and returns the trip after it for the next `when`. */
          thenAllowed(expected: object = {}) {
            expect(decision).toMatchObject({ kind: 'allowed', transition: expected });
            return given(transitionOf(decision).trip);
          },
          thenRejected: (code: RejectionCode) => expect(decision).toEqual({ kind: 'rejected', code }),
          thenRepeated: () => expect(decision).toEqual({ kind: 'repeated' }),
        };
      },
    };
  }
}

function transitionOf(decision: ReturnType<typeof decideTransition>): TripTransition {
  if (decision.kind !== 'allowed') throw new Error(`expected a transition, got ${Bun.inspect(decision)}`);
  return decision.transition;
}
