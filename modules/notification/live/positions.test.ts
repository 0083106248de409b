import { describe, expect, test } from 'bun:test';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { newPerson } from '@testing/notification.ts';
import type { PositionResult, PositionUpdate } from '../ports.ts';
import { callPointsMax, createPositionGatherer, driversMax } from './positions.ts';

const newDriver = () => newPerson() as string as DriverId;
const point = (n: number) => ({ lat: 10, lng: n });
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function setUp(answer: (update: PositionUpdate) => Partial<PositionResult> = () => ({})) {
  const clock = createManualClock(1_763_800_000_000);
  const calls: PositionUpdate[][] = [];
  const held: PromiseWithResolvers<void>[] = [];
  const state = { hold: false };
  const gatherer = createPositionGatherer({
    clock,
    log: createLog('silent'),
    metrics: createMetrics(),
    windowMs: 25,
    sink: {
      async record(updates) {
        calls.push([...updates]);
        if (state.hold) {
          const waiting = Promise.withResolvers<void>();
          held.push(waiting);
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
  const heard: string[] = [];
  return {
    clock,
    calls,
    held,
    state,
    gatherer,
    heard,
    teller: { tell: (code: string) => void heard.push(code) },
  };
}

describe('positions from live connections', () => {
  test('of one window go in one call, each driver with all points in their order', async () => {
    const { clock, calls, gatherer, teller } = setUp();
    const [a, b] = [newDriver(), newDriver()];
    gatherer.add(a, [point(1)], teller);
    gatherer.add(b, [point(2)], teller);
    await clock.advance(24);
    gatherer.add(a, [point(3), point(4)], teller);
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

  test('that come while a call is under way go with the next, one call at a time', async () => {
    const { clock, calls, held, state, gatherer, teller } = setUp();
    state.hold = true;
    const driver = newDriver();
    gatherer.add(driver, [point(1)], teller);
    await clock.advance(25);
    gatherer.add(driver, [point(2)], teller);
    await clock.advance(1_000);
    expect(calls.length).toBe(1);
    held[0]?.resolve();
    await settle();
    expect(calls[1]).toEqual([{ driverId: driver, points: [point(2)] }]);
  });

  test('are cut into calls that fit into a request', async () => {
    const { clock, calls, gatherer, teller } = setUp();
    for (let n = 0; n < 1_000; n++) gatherer.add(newDriver(), [point(1), point(2)], teller);
    await clock.advance(25);
    await settle();
    expect(calls.map((call) => call.flatMap(({ points }) => points).length)).toEqual(
      Array(8).fill(callPointsMax),
    );
  });

  test('of one driver beyond what a call takes leave out the oldest', async () => {
    const { clock, calls, gatherer, teller } = setUp();
    const driver = newDriver();
    for (let n = 0; n < callPointsMax + 10; n++) gatherer.add(driver, [point(n)], teller);
    await clock.advance(25);
    await settle();
    const points = calls.flat().flatMap((update) => update.points);
    expect([points.length, points[0], points.at(-1)]).toEqual([
      callPointsMax,
      point(10),
      point(callPointsMax + 9),
    ]);
  });

  test('that were refused are told to their driver, each reason once', async () => {
    const { clock, gatherer, heard, teller } = setUp(() => ({
      refused: [
        { index: 0, code: 'position.stale' },
        { index: 1, code: 'position.stale' },
        { index: 2, code: 'position.future' },
      ],
    }));
    const others: string[] = [];
    gatherer.add(newDriver(), [point(1), point(2), point(3)], teller);
    await clock.advance(25);
    await settle();
    expect(heard).toEqual(['position.stale', 'position.future']);
    expect(others).toEqual([]);
  });

  test('that could not be recorded are told as an outage, and the next ones go through', async () => {
    const { clock, calls, held, state, gatherer, heard, teller } = setUp();
    state.hold = true;
    gatherer.add(newDriver(), [point(1)], teller);
    await clock.advance(25);
    held[0]?.reject(new Error('away'));
    await settle();
    expect(heard).toEqual(['service.unavailable']);
    state.hold = false;
    gatherer.add(newDriver(), [point(2)], teller);
    await clock.advance(25);
    await settle();
    expect(calls[1]?.[0]?.points).toEqual([point(2)]);
  });

  test('of more drivers than may wait are refused, while known drivers still bring newer ones', async () => {
    const { clock, held, state, gatherer, heard, teller } = setUp();
    state.hold = true;
    const first = newDriver();
    for (let n = 0; n < driversMax - 1; n++) gatherer.add(newDriver(), [point(1)], { tell: () => {} });
    gatherer.add(first, [point(1)], teller);
    gatherer.add(newDriver(), [point(1)], teller);
    gatherer.add(first, [point(2)], teller);
    expect(heard).toEqual(['service.unavailable']);
    state.hold = false;
    await clock.advance(25);
    for (const waiting of held) waiting.resolve();
  });

  test('that still wait at shutdown are recorded first', async () => {
    const { calls, gatherer, teller } = setUp();
    gatherer.add(newDriver(), [point(1)], teller);
    await gatherer.stop();
    expect(calls.length).toBe(1);
  });
});
