import { describe, expect, test } from 'bun:test';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock } from '@platform/clock.ts';
import { createMetrics } from '@platform/metrics.ts';
import { until } from '@testing/until.ts';
import type { DriverPositions, DriverPositionsResult } from '../ports.ts';
import { newPerson } from '../testing/harness.ts';
import { createPositionBatcher, pointsPerCallMax, queuedDriversMax } from './position-batcher.ts';

const newDriver = () => newPerson() as string as DriverId;
const point = (n: number) => ({ lat: 10, lng: n });
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function setUp(answer: (update: DriverPositions) => Partial<DriverPositionsResult> = () => ({})) {
  const clock = createManualClock(1_763_800_000_000);
  const calls: DriverPositions[][] = [];
  const pendingCalls: PromiseWithResolvers<void>[] = [];
  const state = { hold: false };
  const sink = createPositionBatcher({
    clock,
    metrics: createMetrics(),
    windowMs: 25,
    client: {
      async record(updates) {
        calls.push([...updates]);
        if (state.hold) {
          const waiting = Promise.withResolvers<void>();
          pendingCalls.push(waiting);
          await waiting.promise;
        }
        return updates.map((update) => ({
          driverId: update.driverId,
          accepted: update.points.length,
          refused: [],
          ...answer(update),
        }));
      },
    },
  });
  /** The result of each call of `record`, in the order in which they settled. */
  const answers: (readonly string[])[] = [];
  const add = (driverId: DriverId, points: { lat: number; lng: number }[]) => {
    sink.record(driverId, points).then(
      (codes) => void answers.push(codes),
      () => void answers.push(['failed']),
    );
  };
  return { clock, calls, pendingCalls, state, sink, add, answers };
}

describe('batched positions', () => {
  test('of one window are sent in one call, the points of each driver in their order', async () => {
    const { clock, calls, add } = setUp();
    const [a, b] = [newDriver(), newDriver()];
    add(a, [point(1)]);
    add(b, [point(2)]);
    await clock.advance(24);
    add(a, [point(3), point(4)]);
    expect(calls).toEqual([]);
    await clock.advance(1);
    await settle();
    expect(calls).toEqual([
      [
        { driverId: a, points: [point(1), point(3), point(4)] },
        { driverId: b, points: [point(2)] },
      ],
    ]);
  });

  test('that arrive while a call is in flight are sent with the next, one call at a time', async () => {
    const { clock, calls, pendingCalls, state, add } = setUp();
    state.hold = true;
    const driver = newDriver();
    add(driver, [point(1)]);
    await clock.advance(25);
    add(driver, [point(2)]);
    await clock.advance(1_000);
    expect(calls.length).toBe(1);
    pendingCalls[0]?.resolve();
    await settle();
    expect(calls[1]).toEqual([{ driverId: driver, points: [point(2)] }]);
  });

  test('are split into calls that fit into a request', async () => {
    const { clock, calls, add } = setUp();
    for (let n = 0; n < 1_000; n++) add(newDriver(), [point(1), point(2)]);
    await clock.advance(25);
    await settle();
    expect(calls.map((call) => call.flatMap(({ points }) => points).length)).toEqual(
      Array(8).fill(pointsPerCallMax),
    );
  });

  test('of one driver beyond the size of a call drop the oldest points, and the driver gets a code', async () => {
    const { clock, calls, add, answers } = setUp();
    const driver = newDriver();
    for (let n = 0; n < pointsPerCallMax + 10; n++) add(driver, [point(n)]);
    await clock.advance(25);
    await settle();
    const points = calls.flat().flatMap((update) => update.points);
    expect([points.length, points[0], points.at(-1)]).toEqual([
      pointsPerCallMax,
      point(10),
      point(pointsPerCallMax + 9),
    ]);
    await settle();
    expect(new Set(answers)).toEqual(new Set([['service.unavailable']]));
  });

  test('that were rejected return each code once to their caller', async () => {
    const { clock, add, answers } = setUp(() => ({
      refused: [
        { index: 0, code: 'position.stale' },
        { index: 1, code: 'position.stale' },
        { index: 2, code: 'position.future' },
      ],
    }));
    add(newDriver(), [point(1), point(2), point(3)]);
    await clock.advance(25);
    await settle();
    expect(answers).toEqual([['position.stale', 'position.future']]);
  });

  test('that could not be recorded reject, and the next ones succeed', async () => {
    const { clock, calls, pendingCalls, state, add, answers } = setUp();
    state.hold = true;
    add(newDriver(), [point(1)]);
    await clock.advance(25);
    pendingCalls[0]?.reject(new Error('unavailable'));
    await settle();
    expect(answers).toEqual([['failed']]);
    state.hold = false;
    add(newDriver(), [point(2)]);
    await clock.advance(25);
    await settle();
    expect(calls[1]?.[0]?.points).toEqual([point(2)]);
  });

  test('of more drivers than the queue holds drop the driver that waits longest', async () => {
    const { clock, calls, add, answers } = setUp();
    const [longest, second, newest] = [newDriver(), newDriver(), newDriver()];
    add(longest, [point(1)]);
    add(second, [point(1)]);
    for (let n = 0; n < queuedDriversMax - 2; n++) add(newDriver(), [point(1)]);
    add(longest, [point(2)]);
    expect(answers).toEqual([]);
    add(newest, [point(3)]);
    await settle();
    expect(answers).toEqual([['service.unavailable'], ['service.unavailable']]);
    await clock.advance(25);
    await until(() => calls.flat().length === queuedDriversMax);
    const sent = calls.flat().map(({ driverId }) => driverId);
    expect([sent.includes(longest), sent[0], sent.at(-1)]).toEqual([false, second, newest]);
  });

  test('in the queue at shutdown are recorded first', async () => {
    const { calls, sink, add } = setUp();
    add(newDriver(), [point(1)]);
    await sink.drain();
    expect(calls.length).toBe(1);
  });
});
