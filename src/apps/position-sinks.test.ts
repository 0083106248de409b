import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import type { DriverId } from '@contracts/ids.ts';
import { createTestDriver, type TestDriver } from '@modules/driver/testing/harness.ts';
import { createPositionBatcher } from '@modules/notification/live/position-batcher.ts';
import type { PositionSink } from '@modules/notification/ports.ts';
import { createMetrics } from '@platform/metrics.ts';
import { testServiceCredentials } from '@testing/service-auth.ts';
import { createInProcessPositionSink, createPositionBatchClient } from './clients.ts';

// Live connections use one of two sinks. Both must behave the same.

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

describe.each(Object.entries(sinks))('the sink for positions from live connections, %s,', (_, make) => {
  let driver: TestDriver;
  let sink: PositionSink;
  beforeEach(async () => {
    driver = await createTestDriver();
    sink = make(driver);
  });
  afterEach(() => driver.close());

  const at = (offsetMs: number) => formatTimestamp(driver.clock.nowMs() + offsetMs);

  async function record(driverId: DriverId, points: Parameters<PositionSink['record']>[1]) {
    const [codes] = await Promise.all([sink.record(driverId, points), driver.clock.advance(windowMs)]);
    return codes;
  }

  async function storedPlace(driverId: DriverId) {
    const query = { point: place, limit: 50, radiusMetresMax: 50_000, excluding: [] };
    return (await driver.index.nearest(query)).find((candidate) => candidate.driverId === driverId)?.point;
  }

  test('stores the newest point of a driver as their position', async () => {
    const driverId = await driver.createAvailableDriver();
    const newer = { lat: place.lat + 0.0001, lng: place.lng };
    const points = [
      { ...newer, recordedAt: at(-1_000) },
      { ...place, recordedAt: at(-5_000) },
    ];
    expect(await record(driverId, points)).toEqual([]);
    expect(await storedPlace(driverId)).toEqual(newer);
  });

  test('reports each rejection code once and stores the valid point', async () => {
    const driverId = await driver.createAvailableDriver();
    const stale = { ...place, recordedAt: at(-600_000) };
    const future = { ...place, recordedAt: at(60_000) };
    const reasons = await record(driverId, [stale, stale, place, future]);
    expect(reasons.toSorted()).toEqual(['position.future', 'position.stale']);
    expect(await storedPlace(driverId)).toEqual(place);
  });

  test('rejects an offline driver with driver.offline and stores nothing', async () => {
    const driverId = driver.ids<DriverId>();
    expect(await record(driverId, [place])).toEqual(['driver.offline']);
    expect(await storedPlace(driverId)).toBeUndefined();
  });

  test('reports to concurrent drivers only the results of their own points', async () => {
    const working = await driver.createAvailableDriver();
    const offline = driver.ids<DriverId>();
    const [good, bad] = [sink.record(working, [place]), sink.record(offline, [place])];
    await driver.clock.advance(windowMs);
    expect(await good).toEqual([]);
    expect(await bad).toEqual(['driver.offline']);
  });

  test('never reports success for points that could not be stored', async () => {
    const driverId = await driver.createAvailableDriver();
    driver.index.record = () =>
      Promise.reject(Object.assign(new Error('unavailable'), { code: 'ECONNREFUSED' }));
    const result = await record(driverId, [place]).catch(() => 'failed');
    expect(result === 'failed' || result.includes('service.unavailable')).toBe(true);
  });

  test('finishes all pending calls when it drains', async () => {
    const driverId = await driver.createAvailableDriver();
    const recording = sink.record(driverId, [place]);
    await sink.drain();
    expect(await recording).toEqual([]);
  });
});
