import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createTestDriver, type TestDriver } from '@modules/driver/testing/harness.ts';
import { createPositionBatcher } from '@modules/notification/live/position-batcher.ts';
import type { PositionSink } from '@modules/notification/ports.ts';
import { createMetrics } from '@platform/metrics.ts';
import { testServiceCredentials } from '@testing/service-auth.ts';
import { createInProcessPositionSink, createPositionBatchClient } from './clients.ts';

// The realtime plane can't tell which of the two it has: what holds of one holds of the other.

const place = { lat: 10.772112, lng: 106.698256 };
const windowMs = 25;
const sinks: Record<string, (driver: TestDriver) => PositionSink> = {
  'in one process': (driver) => createInProcessPositionSink(driver.context.intake),
  'over HTTP': ({ clock, fetch }) =>
    createPositionBatcher({
      client: createPositionBatchClient({ clock }, testServiceCredentials(clock), {
        url: 'http://driver',
        fetch,
      }),
      clock,
      metrics: createMetrics(),
      windowMs,
    }),
};

describe.each(Object.entries(sinks))('positions from live connections, %s', (_, make) => {
  let driver: TestDriver;
  let sink: PositionSink;
  beforeEach(async () => {
    driver = await createTestDriver();
    sink = make(driver);
  });
  afterEach(() => driver.close());

  const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);

  async function record(driverId: DriverId, points: Parameters<PositionSink['record']>[1]) {
    const [told] = await Promise.all([sink.record(driverId, points), driver.clock.advance(windowMs)]);
    return told;
  }

  async function storedPlace(driverId: DriverId) {
    const query = { point: place, limit: 50, radiusMetresMax: 50_000, excluding: [] };
    return (await driver.index.nearest(query)).find((one) => one.driverId === driverId)?.point;
  }

  test('the newest of a driver’s points is where searches find him', async () => {
    const driverId = await driver.createAvailableDriver();
    const newer = { lat: place.lat + 0.0001, lng: place.lng };
    const points = [
      { ...newer, recordedAt: at(-1_000) },
      { ...place, recordedAt: at(-5_000) },
    ];
    expect(await record(driverId, points)).toEqual([]);
    expect(await storedPlace(driverId)).toEqual(newer);
  });

  test('each reason of a refusal is told once, and what was good is stored', async () => {
    const driverId = await driver.createAvailableDriver();
    const stale = { ...place, recordedAt: at(-600_000) };
    const future = { ...place, recordedAt: at(60_000) };
    const reasons = await record(driverId, [stale, stale, place, future]);
    expect(reasons.toSorted()).toEqual(['position.future', 'position.stale']);
    expect(await storedPlace(driverId)).toEqual(place);
  });

  test('a driver who is offline is told so, and nothing is stored', async () => {
    const driverId = driver.ids<DriverId>();
    expect(await record(driverId, [place])).toEqual(['driver.offline']);
    expect(await storedPlace(driverId)).toBeUndefined();
  });

  test('of drivers who come together each hears of his own points only', async () => {
    const working = await driver.createAvailableDriver();
    const offline = driver.ids<DriverId>();
    const [good, bad] = [sink.record(working, [place]), sink.record(offline, [place])];
    await driver.clock.advance(windowMs);
    expect(await good).toEqual([]);
    expect(await bad).toEqual(['driver.offline']);
  });

  test('what could not be stored is never told as stored', async () => {
    const driverId = await driver.createAvailableDriver();
    driver.index.record = () => Promise.reject(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }));
    const told = await record(driverId, [place]).catch(() => 'failed');
    expect(told === 'failed' || told.includes('service.unavailable')).toBe(true);
  });

  test('at the end nothing waits any more', async () => {
    const driverId = await driver.createAvailableDriver();
    const recording = sink.record(driverId, [place]);
    await sink.drain();
    expect(await recording).toEqual([]);
  });
});
