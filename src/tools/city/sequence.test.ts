import { describe, expect, test } from 'bun:test';
import type { EventId } from '@contracts/ids.ts';
import type { EventFrame } from '@contracts/realtime.ts';
import fc from 'fast-check';
import { createEventSequence, type EventSequence } from './sequence.ts';

const frame = (seq: number): EventFrame => ({
  type: 'event',
  seq,
  id: Bun.randomUUIDv7() as EventId,
  event: 'trip.assigned',
  data: {},
});

function following(lastSeq: number): EventSequence {
  const sequence = createEventSequence();
  sequence.onWelcome(lastSeq);
  sequence.onResumed({ recovered: true, lastSeq });
  sequence.takeReady();
  return sequence;
}

function receive(sequence: EventSequence, ...seqs: number[]): number[] {
  for (const seq of seqs) sequence.add(frame(seq));
  return sequence.takeReady().map(({ seq }) => seq);
}

describe('events of one connection', () => {
  test('are numbered from the seq of the first welcome', () => {
    const sequence = createEventSequence();
    expect(sequence.onWelcome(1_000_000)).toBe(1_000_000);
    sequence.onResumed({ recovered: true, lastSeq: 1_000_000 });
    expect(receive(sequence, 1_000_001, 1_000_002)).toEqual([1_000_001, 1_000_002]);
    expect(sequence.checkGap()).toEqual({ kind: 'none' });
  });

  test('that arrive in any order and repeatedly are delivered once and in order', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7, 8], { minLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 8 })),
        (order, again) => {
          const sequence = following(0);
          const delivered = [...order, ...again].flatMap((seq) => receive(sequence, seq));
          expect(delivered).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
        },
      ),
    );
  });

  test('with a gap cause a resume, which fills it', () => {
    const sequence = following(0);
    receive(sequence, 1, 3);
    expect(sequence.checkGap()).toEqual({ kind: 'ask_again' });
    expect(sequence.startResume()).toBe(1);
    expect(sequence.checkGap()).toEqual({ kind: 'none' });
    expect(receive(sequence, 2)).toEqual([2, 3]);
    expect(sequence.onResumed({ recovered: true, lastSeq: 3 })).toBe(true);
    expect(sequence.takeReady()).toEqual([]);
    expect(sequence.checkGap()).toEqual({ kind: 'none' });
    expect(sequence.describeMissingReplay()).toBeUndefined();
  });

  test('with a gap that a resume does not fill are reported once as a violation', () => {
    const sequence = following(0);
    receive(sequence, 1, 3);
    sequence.checkGap();
    sequence.startResume();
    sequence.onResumed({ recovered: true, lastSeq: 3 });
    expect(sequence.checkGap()).toMatchObject({ kind: 'broken' });
    expect(receive(sequence)).toEqual([3]);
    expect(sequence.checkGap()).toEqual({ kind: 'none' });
  });

  test('of a server that keeps losing the latest are not requested endlessly', () => {
    const sequence = following(0);
    receive(sequence, 1, 3);
    let requests = 0;
    while (sequence.checkGap().kind === 'ask_again') {
      requests++;
      sequence.startResume();
      sequence.onResumed({ recovered: true, lastSeq: 0 });
      sequence.takeReady();
    }
    expect(requests).toBe(3);
  });
});

describe('after a reconnect', () => {
  test('the client resumes after the last event', () => {
    const sequence = following(10);
    receive(sequence, 11, 12);
    expect(sequence.onWelcome(15)).toBe(12);
  });

  test('live events that overtake the replay wait for it', () => {
    const sequence = following(0);
    sequence.onWelcome(2);
    expect(sequence.onResumed({ recovered: true, lastSeq: 2 })).toBe(true);
    expect(receive(sequence, 3)).toEqual([]);
    expect(sequence.checkGap()).toEqual({ kind: 'none' });
    expect(receive(sequence, 1)).toEqual([1]);
    expect(receive(sequence, 2)).toEqual([2, 3]);
  });

  test('events that the server reports as lost are no violation', () => {
    const sequence = following(0);
    receive(sequence, 1);
    sequence.onWelcome(900);
    expect(sequence.onResumed({ recovered: false, lastSeq: 900 })).toBe(false);
    expect(receive(sequence, 901)).toEqual([901]);
    expect(sequence.checkGap()).toEqual({ kind: 'none' });
  });

  test('an announced replay that does not arrive is reported as missing', () => {
    const sequence = following(0);
    sequence.onWelcome(2);
    sequence.onResumed({ recovered: true, lastSeq: 2 });
    sequence.takeReady();
    expect(sequence.describeMissingReplay()).toContain('announced seq 2');
  });
});
