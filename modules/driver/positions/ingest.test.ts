import { beforeEach, describe, expect, test } from 'bun:test';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { createSeededRandom } from '@platform/random.ts';
import { until } from '@testing/until.ts';
import type { DriverAvailability, PositionIndex, PositionUpdate } from './index.ts';
import { availabilityLeaseMs } from './index.ts';
import { createIngest, type Ingest } from './ingest.ts';
import { createMemoryPositionIndex } from './memory.ts';

const freshnessMs = 30_000;
const point = { lat: 10.7721, lng: 106.6983 };
const newId = createIds(createManualClock(0), createSeededRandom(3));

let clock: ManualClock;
let index: PositionIndex;
let ingest: Ingest;
let written: PositionUpdate[][];
let lookups: DriverId[][];
let database: Map<DriverId, DriverAvailability>;

beforeEach(() => {
  clock = createManualClock(Date.parse('2026-11-22T08:00:00Z'));
  written = [];
  lookups = [];
  database = new Map();
  loseIndex();
});

/** Replaces the index by an empty one, as after a restart of Redis without data. */
function loseIndex(waitingMax = 1_000) {
  const memory = createMemoryPositionIndex({
    clock,
    freshnessMs,
    speedMetresPerSecondMax: 70,
    sweepEveryMs: 0,
  });
  index = {
    ...memory,
    record(updates) {
      written.push([...updates]);
      return memory.record(updates);
    },
  };
  ingest = createIngest({
    index,
    loadAvailabilities: async (driverIds) => {
      lookups.push([...driverIds]);
      return driverIds.map(
        (driverId) =>
          database.get(driverId) ?? { driverId, version: 0, availability: 'offline', product: null },
      );
    },
    clock,
    log: createLog('silent'),
    metrics: createMetrics(),
    windowMs: 0,
    batchMax: 500,
    waitingMax,
    waitMsMax: 1_000,
  });
}

function newDriver(availability: DriverAvailability['availability'] = 'available'): DriverId {
  const driverId = newId<DriverId>();
  database.set(driverId, { driverId, version: 1, availability, product: 'car' });
  return driverId;
}
const submit = (driverId: DriverId, recordedAtMs = clock.nowMs()) =>
  ingest.submit({ driverId, point, recordedAtMs });
const search = () => index.nearest({ point, limit: 50, radiusMetresMax: 1_000, excluding: [] });

describe('position ingest', () => {
  test('looks up drivers that the index does not know in one query, then stores their positions', async () => {
    const drivers = Array.from({ length: 40 }, () => newDriver());
    expect(await Promise.all(drivers.map((driverId) => submit(driverId)))).toEqual(
      drivers.map(() => ({ kind: 'stored', busy: false, previousMs: undefined })),
    );
    expect(lookups).toEqual([drivers]);
    expect(await search()).toHaveLength(40);
  });

  test('restores a lost index, including the status, with one position of each driver', async () => {
    const [free, busy, offline] = [newDriver(), newDriver('busy'), newDriver('offline')];
    for (const driverId of [free, busy, offline]) await submit(driverId);
    loseIndex();
    expect(await search()).toEqual([]);
    const after = await Promise.all([free, busy, offline].map((driverId) => submit(driverId)));
    expect(after.map(({ kind }) => kind)).toEqual(['stored', 'stored', 'offline']);
    expect((await search()).map(({ driverId }) => driverId)).toEqual([free]);
  });

  test('writes one of several updates of a driver and resolves each caller with its own result', async () => {
    const driverId = newDriver();
    const startMs = clock.nowMs();
    await submit(driverId, startMs);
    written.length = 0;
    const results = await Promise.all(
      [startMs + 2, startMs - 1, startMs + 3, startMs].map((atMs) => submit(driverId, atMs)),
    );
    expect(written).toEqual([[{ driverId, point, recordedAtMs: startMs + 3 }]]);
    expect(results.map(({ kind }) => kind)).toEqual(['stored', 'outdated', 'stored', 'stored']);
  });

  test('rejects an offline or unknown driver and stores nothing', async () => {
    expect(await submit(newDriver('offline'))).toEqual({ kind: 'offline' });
    expect(await submit(newId<DriverId>())).toEqual({ kind: 'offline' });
    expect(await search()).toEqual([]);
  });

  test('looks up an offline driver who keeps sending only from time to time', async () => {
    const driverId = newDriver('offline');
    for (let n = 0; n < 20; n++) {
      await submit(driverId);
      await clock.advance(200);
    }
    expect(lookups.length).toBeLessThanOrEqual(3);
  });

  test('corrects a wrong availability after its lease without delaying the position', async () => {
    const driverId = newDriver();
    await submit(driverId);
    // The driver got a trip, and the write to the index was lost.
    database.set(driverId, { driverId, version: 2, availability: 'busy', product: 'car' });
    await clock.advance(availabilityLeaseMs + 1);
    expect(await submit(driverId)).toMatchObject({ kind: 'stored' });
    await clock.advance(200);
    await until(async () => (await search()).length === 0, { describe: 'the index to be corrected' });
  });

  test('accepts a driver who went online although the write to the index was lost', async () => {
    const driverId = newDriver('offline');
    await submit(driverId);
    database.set(driverId, { driverId, version: 2, availability: 'available', product: 'car' });
    await clock.advance(2_001);
    expect(await submit(driverId)).toMatchObject({ kind: 'stored' });
  });

  test('rejects the oldest updates with Retry-After when too many wait, and keeps the newest', async () => {
    loseIndex(3);
    const [a, b, c, d] = [newDriver(), newDriver(), newDriver(), newDriver()];
    const settled = await Promise.allSettled([a, b, c, d].map((driverId) => submit(driverId)));
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
    expect(settled[0]).toMatchObject({ reason: { code: 'service.unavailable', retryAfterSeconds: 1 } });
  });
});
