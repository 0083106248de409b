import { describe, expect, test } from 'bun:test';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { batchMax, createFollowerUpdates, driverIntervalMs, sendIntervalMs } from './follower-updates.ts';
import type { PositionUpdate } from './index.ts';

let drivers = 0;
const newDriver = () => `driver-${++drivers}` as DriverId;

async function setUp() {
  const clock = createManualClock(1_763_800_000_000);
  const calls: (readonly PositionUpdate[])[] = [];
  const state = { isAway: false };
  const following = createFollowerUpdates({
    followers: {
      async sendPositions(positions) {
        if (state.isAway) throw new Error('away');
        calls.push(positions);
      },
    },
    clock,
    log: createLog('silent'),
    metrics: createMetrics(),
  });
  await following.worker.start();
  const at = (driverId: DriverId, n: number): PositionUpdate => ({
    driverId,
    point: { lat: 10 + n / 1_000, lng: 106 },
    recordedAtMs: clock.nowMs() + n,
  });
  return { clock, calls, state, following, at };
}

describe('moves of busy drivers', () => {
  test('are told within a moment, of many drivers in one call', async () => {
    const { clock, calls, following, at } = await setUp();
    const moves = [at(newDriver(), 1), at(newDriver(), 2)];
    for (const move of moves) following.enqueue(move);
    await clock.advance(sendIntervalMs);
    expect(calls).toEqual([moves]);
    await following.worker.stop();
  });

  test('are told once a second of a driver, however often the phone sends, and the newest then', async () => {
    const { clock, calls, following, at } = await setUp();
    const driver = newDriver();
    for (let ms = 0; ms < 5 * driverIntervalMs; ms += 50) {
      following.enqueue(at(driver, 0));
      await clock.advance(50);
    }
    const told = calls.flat();
    expect(told.length).toBeGreaterThanOrEqual(4);
    expect(told.length).toBeLessThanOrEqual(5);
    const gapsMs = told.slice(1).map((one, place) => one.recordedAtMs - (told[place]?.recordedAtMs ?? 0));
    expect(Math.min(...gapsMs)).toBeGreaterThanOrEqual(driverIntervalMs - 50);
    await following.worker.stop();
  });

  test('that come late do not replace a newer one', async () => {
    const { clock, calls, following, at } = await setUp();
    const driver = newDriver();
    const newest = at(driver, 9);
    following.enqueue(newest);
    following.enqueue(at(driver, 3));
    await clock.advance(sendIntervalMs);
    expect(calls).toEqual([[newest]]);
    await following.worker.stop();
  });

  test('of very many drivers are cut into calls', async () => {
    const { clock, calls, following, at } = await setUp();
    for (let n = 0; n < batchMax + 10; n++) following.enqueue(at(newDriver(), 0));
    await clock.advance(sendIntervalMs);
    expect(calls.map(({ length }) => length)).toEqual([batchMax, 10]);
    await following.worker.stop();
  });

  test('that could not be told are lost, and the next ones are told', async () => {
    const { clock, calls, state, following, at } = await setUp();
    const driver = newDriver();
    state.isAway = true;
    following.enqueue(at(driver, 1));
    await clock.advance(sendIntervalMs);
    state.isAway = false;
    await clock.advance(driverIntervalMs);
    const next = at(driver, 1);
    following.enqueue(next);
    await clock.advance(sendIntervalMs);
    expect(calls).toEqual([[next]]);
    await following.worker.stop();
  });
});
