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
let asked: DriverId[][];
let truth: Map<DriverId, DriverAvailability>;

beforeEach(() => {
  clock = createManualClock(Date.parse('2026-11-22T08:00:00Z'));
  written = [];
  asked = [];
  truth = new Map();
  loseIndex();
});

/** An empty index in the place of the one before, as after a restart of Redis. */
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
      asked.push([...driverIds]);
      return driverIds.map(
        (driverId) => truth.get(driverId) ?? { driverId, version: 0, availability: 'offline', product: null },
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
  truth.set(driverId, { driverId, version: 1, availability, product: 'car' });
  return driverId;
}
const place = (driverId: DriverId, recordedAtMs = clock.nowMs()) =>
  ingest.submit({ driverId, point, recordedAtMs });
const search = () => index.nearest({ point, limit: 50, radiusMetresMax: 1_000, excluding: [] });

describe('position ingest', () => {
  test('drivers whom the index does not know are looked up together, then found', async () => {
    const drivers = Array.from({ length: 40 }, () => newDriver());
    expect(await Promise.all(drivers.map((driverId) => place(driverId)))).toEqual(
      drivers.map(() => ({ kind: 'stored', busy: false, previousMs: undefined })),
    );
    expect(asked).toEqual([drivers]);
    expect(await search()).toHaveLength(40);
  });

  test('after the index was lost, one position of each driver makes it whole, with his status', async () => {
    const [free, busy, offline] = [newDriver(), newDriver('busy'), newDriver('offline')];
    for (const driverId of [free, busy, offline]) await place(driverId);
    loseIndex();
    expect(await search()).toEqual([]);
    const after = await Promise.all([free, busy, offline].map((driverId) => place(driverId)));
    expect(after.map(({ kind }) => kind)).toEqual(['stored', 'stored', 'offline']);
    expect((await search()).map(({ driverId }) => driverId)).toEqual([free]);
  });

  test('of many updates of a driver one is written; each caller hears of his own', async () => {
    const driverId = newDriver();
    const startMs = clock.nowMs();
    await place(driverId, startMs);
    written.length = 0;
    const placed = await Promise.all(
      [startMs + 2, startMs - 1, startMs + 3, startMs].map((atMs) => place(driverId, atMs)),
    );
    expect(written).toEqual([[{ driverId, point, recordedAtMs: startMs + 3 }]]);
    expect(placed.map(({ kind }) => kind)).toEqual(['stored', 'outdated', 'stored', 'stored']);
  });

  test('a driver who is offline, or whom nobody knows, is turned away and not stored', async () => {
    expect(await place(newDriver('offline'))).toEqual({ kind: 'offline' });
    expect(await place(newId<DriverId>())).toEqual({ kind: 'offline' });
    expect(await search()).toEqual([]);
  });

  test('an offline driver who keeps sending costs a look-up now and then only', async () => {
    const driverId = newDriver('offline');
    for (let n = 0; n < 20; n++) {
      await place(driverId);
      await clock.advance(200);
    }
    expect(asked.length).toBeLessThanOrEqual(3);
  });

  test('a wrong standing is mended by the positions after its lease, and nobody waits for it', async () => {
    const driverId = newDriver();
    await place(driverId);
    // He got a trip, and the write that told the index was lost.
    truth.set(driverId, { driverId, version: 2, availability: 'busy', product: 'car' });
    await clock.advance(availabilityLeaseMs + 1);
    expect(await place(driverId)).toMatchObject({ kind: 'stored' });
    await clock.advance(200);
    await until(async () => (await search()).length === 0, { describe: 'the index to learn of the trip' });
  });

  test('a driver who went online is heard at once, though the index missed it', async () => {
    const driverId = newDriver('offline');
    await place(driverId);
    truth.set(driverId, { driverId, version: 2, availability: 'available', product: 'car' });
    await clock.advance(2_001);
    expect(await place(driverId)).toMatchObject({ kind: 'stored' });
  });

  test('when too many wait, the newest stay and the oldest are told to come again', async () => {
    loseIndex(3);
    const [a, b, c, d] = [newDriver(), newDriver(), newDriver(), newDriver()];
    const settled = await Promise.allSettled([a, b, c, d].map((driverId) => place(driverId)));
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
    expect(settled[0]).toMatchObject({ reason: { code: 'service.unavailable', retryAfterSeconds: 1 } });
  });
});
