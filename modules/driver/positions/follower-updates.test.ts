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
  const state = { fails: false };
  const followerUpdates = createFollowerUpdates({
    followers: {
      async sendPositions(positions) {
        if (state.fails) throw new Error('unavailable');
        calls.push(positions);
      },
    },
    clock,
    log: createLog('silent'),
    metrics: createMetrics(),
  });
  await followerUpdates.worker.start();
  const at = (driverId: DriverId, n: number): PositionUpdate => ({
    driverId,
    point: { lat: 10 + n / 1_000, lng: 106 },
    recordedAtMs: clock.nowMs() + n,
  });
  return { clock, calls, state, followerUpdates, at };
}

describe('positions of busy drivers', () => {
  test('are sent within the interval, many drivers in one call', async () => {
    const { clock, calls, followerUpdates, at } = await setUp();
    const updates = [at(newDriver(), 1), at(newDriver(), 2)];
    for (const update of updates) followerUpdates.enqueue(update);
    await clock.advance(sendIntervalMs);
    expect(calls).toEqual([updates]);
    await followerUpdates.worker.stop();
  });

  test('are sent once a second for each driver, newest first, however often the phone reports', async () => {
    const { clock, calls, followerUpdates, at } = await setUp();
    const driver = newDriver();
    for (let ms = 0; ms < 5 * driverIntervalMs; ms += 50) {
      followerUpdates.enqueue(at(driver, 0));
      await clock.advance(50);
    }
    const sent = calls.flat();
    expect(sent.length).toBeGreaterThanOrEqual(4);
    expect(sent.length).toBeLessThanOrEqual(5);
    const gapsMs = sent
      .slice(1)
      .map((update, index) => update.recordedAtMs - (sent[index]?.recordedAtMs ?? 0));
    expect(Math.min(...gapsMs)).toBeGreaterThanOrEqual(driverIntervalMs - 50);
    await followerUpdates.worker.stop();
  });

  test('do not replace a newer position when they arrive late', async () => {
    const { clock, calls, followerUpdates, at } = await setUp();
    const driver = newDriver();
    const newest = at(driver, 9);
    followerUpdates.enqueue(newest);
    followerUpdates.enqueue(at(driver, 3));
    await clock.advance(sendIntervalMs);
    expect(calls).toEqual([[newest]]);
    await followerUpdates.worker.stop();
  });

  test('are split into several calls when there are very many drivers', async () => {
    const { clock, calls, followerUpdates, at } = await setUp();
    for (let n = 0; n < batchMax + 10; n++) followerUpdates.enqueue(at(newDriver(), 0));
    await clock.advance(sendIntervalMs);
    expect(calls.map(({ length }) => length)).toEqual([batchMax, 10]);
    await followerUpdates.worker.stop();
  });

  test('are lost when sending fails, and later positions are sent', async () => {
    const { clock, calls, state, followerUpdates, at } = await setUp();
    const driver = newDriver();
    state.fails = true;
    followerUpdates.enqueue(at(driver, 1));
    await clock.advance(sendIntervalMs);
    state.fails = false;
    await clock.advance(driverIntervalMs);
    const next = at(driver, 1);
    followerUpdates.enqueue(next);
    await clock.advance(sendIntervalMs);
    expect(calls).toEqual([[next]]);
    await followerUpdates.worker.stop();
  });
});
