import { afterEach, describe, expect, test } from 'bun:test';
import { sampleTripEvent } from '@testing/events.ts';
import { createManualClock, systemClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createSeededRandom, systemRandom } from '../random.ts';
import { busContract } from './bus.contract.ts';
import type { Bus } from './bus.ts';
import { createMemoryBus } from './memory.ts';

const log = createLog('silent');

busContract('the memory bus', async (retry) => ({
  bus: createMemoryBus({ clock: systemClock, random: systemRandom, log, retry }),
  cleanup: async () => undefined,
}));

describe('the memory bus with a manual clock', () => {
  let bus: Bus;
  afterEach(() => bus.close());

  test('waits for each delay of the retry policy, a quarter shorter or longer', async () => {
    const clock = createManualClock(0);
    bus = createMemoryBus({ clock, random: createSeededRandom(1), log });
    const atMs: number[] = [];
    await bus.subscribe({
      queue: 'test.listener',
      events: ['trip.requested.v1'],
      prefetch: 1,
      handle: async () => {
        atMs.push(clock.nowMs());
        return { kind: 'retry', reason: 'never' };
      },
    });
    await bus.publish([sampleTripEvent()]);
    await clock.advance(600_000);
    const waitsMs = atMs.slice(1).map((at, index) => at - (atMs[index] ?? 0));
    const delaysMs = [200, 1_000, 5_000, ...Array.from({ length: 8 }, () => 30_000)];
    expect(waitsMs.map((waitMs, index) => Math.abs(waitMs / (delaysMs[index] ?? 0) - 1))).toEqual(
      delaysMs.map(() => 0.25),
    );
    expect(new Set(waitsMs.slice(3)).size).toBe(2);
    expect(await bus.deadLetters('test.listener')).toMatchObject([{ attempts: 12 }]);
  });

  test('aborts the signal of a handler that exceeds its timeout and retries the event', async () => {
    const clock = createManualClock(0);
    bus = createMemoryBus({ clock, random: createSeededRandom(1), log, handlerTimeoutMs: 5_000 });
    const attempts: number[] = [];
    const aborted: boolean[] = [];
    await bus.subscribe({
      queue: 'test.listener',
      events: ['trip.requested.v1'],
      prefetch: 1,
      handle: async ({ attempt, signal }) => {
        attempts.push(attempt);
        if (attempt > 1) return { kind: 'done' };
        return new Promise((resolve) =>
          signal.addEventListener('abort', () => {
            aborted.push(true);
            void clock.sleep(60_000).then(() => resolve({ kind: 'done' }));
          }),
        );
      },
    });
    await bus.publish([sampleTripEvent()]);
    await clock.advance(5_000);
    expect(aborted).toEqual([true]);
    await clock.advance(250);
    expect(attempts).toEqual([1, 2]);
  });

  test('rejects a publish to a full queue, so that memory stays bounded', async () => {
    const clock = createManualClock(0);
    bus = createMemoryBus({ clock, random: createSeededRandom(1), log, queueLengthMax: 3 });
    const stop = await bus.subscribe({
      queue: 'test.listener',
      events: ['trip.requested.v1'],
      prefetch: 1,
      handle: async () => ({ kind: 'done' }),
    });
    await stop();
    await bus.publish([sampleTripEvent(), sampleTripEvent(), sampleTripEvent()]);
    expect(bus.publish([sampleTripEvent()])).rejects.toThrow(/full/);
    await bus.publish([sampleTripEvent({ type: 'trip.completed.v1' })]);
  });
});
