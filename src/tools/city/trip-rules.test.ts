import { describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import type { TripHistoryEntry, TripStatus } from '@contracts/trips.ts';
import fc from 'fast-check';
import { assignedInterval, findHistoryErrors, overlapMs } from './trip-rules.ts';

const startMs = Date.UTC(2026, 10, 22, 8);

/** A consistent history of these statuses, one second apart. */
function historyOf(...states: TripStatus[]): TripHistoryEntry[] {
  return states.map((to, index) => ({
    version: index + 1,
    from: states[index - 1] ?? null,
    to,
    actor: 'system',
    actorId: null,
    reason: null,
    at: formatTimestamp(startMs + index * 1000),
  }));
}

const whole = historyOf(
  'requested',
  'offered',
  'requested',
  'offered',
  'assigned',
  'arrived',
  'in_progress',
  'completed',
);

describe('a history', () => {
  test('of a trip with a lapsed offer is valid', () => {
    expect(findHistoryErrors(whole, 'completed', 8)).toEqual([]);
  });

  test('with a missing entry is invalid', () => {
    fc.assert(
      fc.property(fc.nat(whole.length - 1), (missing) => {
        const faulty = whole.filter((_, index) => index !== missing);
        expect(findHistoryErrors(faulty, 'completed', 8)).not.toEqual([]);
      }),
    );
  });

  test('with two swapped entries is invalid', () => {
    fc.assert(
      fc.property(fc.nat(whole.length - 2), (at) => {
        const faulty = whole.toSpliced(at, 2, ...whole.slice(at, at + 2).reverse());
        expect(findHistoryErrors(faulty, 'completed', 8)).not.toEqual([]);
      }),
    );
  });

  test('with a transition that is not allowed is invalid', () => {
    const skipped = historyOf('requested', 'assigned');
    expect(findHistoryErrors(skipped, 'assigned', 2)).toEqual([
      'version 2: requested → assigned is not allowed',
    ]);
    const undead = historyOf('requested', 'cancelled', 'offered');
    expect(findHistoryErrors(undead, 'offered', 3)).toEqual([
      'version 3: cancelled → offered is not allowed',
    ]);
  });

  test('that ends with another status than the trip is invalid', () => {
    expect(findHistoryErrors(whole, 'cancelled', 9)).toEqual([
      'the trip is cancelled, its history ends as completed',
      'the trip has version 9, its history ends at 8',
    ]);
    expect(findHistoryErrors([], 'requested', 1)).toEqual(['the history is empty']);
  });
});

test('the assigned interval is from the assignment to the end', () => {
  expect(assignedInterval(whole)).toEqual({ fromMs: startMs + 4000, toMs: startMs + 7000 });
  expect(assignedInterval(historyOf('requested', 'cancelled'))).toBeUndefined();
});

test('consecutive trips do not overlap, concurrent trips do', () => {
  expect(overlapMs({ fromMs: 0, toMs: 10 }, { fromMs: 10, toMs: 20 })).toBe(0);
  expect(overlapMs({ fromMs: 0, toMs: 10 }, { fromMs: 4, toMs: 7 })).toBe(3);
});
