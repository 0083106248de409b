import { beforeEach, expect, test } from 'bun:test';
import type { DriverId } from '@contracts/ids.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics, type Metrics } from '@platform/metrics.ts';
import type { PositionUpdate } from '../positions/index.ts';
import { createTrackRecorder } from './recorder.ts';

const driverId = '019aa000-0000-7000-8000-0000000000aa' as DriverId;
const points = (from: number, to: number): PositionUpdate[] =>
  Array.from({ length: to - from }, (_, n) => ({
    driverId,
    point: { lat: 10, lng: 106 },
    recordedAtMs: from + n,
  }));

let clock: ManualClock;
let metrics: Metrics;
let saved: number[][];
let isUnavailable: boolean;
beforeEach(() => {
  clock = createManualClock(0);
  metrics = createMetrics();
  saved = [];
  isUnavailable = false;
});

const recorder = (waitingMax = 10_000) =>
  createTrackRecorder({
    save: async (batch) => {
      if (isUnavailable) throw new Error('Connection is closed.');
      saved.push(batch.map(({ recordedAtMs }) => recordedAtMs));
      return batch.length;
    },
    clock,
    log: createLog('silent'),
    metrics,
    waitingMax,
  });

test('the recorder saves points within a second, in batches of bounded size', async () => {
  const tracks = recorder();
  await tracks.start();
  tracks.add(points(0, 2));
  tracks.add(points(2, 2_500));
  await clock.advance(1_000);
  expect(saved.map((batch) => batch.length)).toEqual([1_000, 1_000]);
  await clock.advance(1_000);
  expect(saved.flat()).toEqual(points(0, 2_500).map(({ recordedAtMs }) => recordedAtMs));
  await tracks.stop();
});

test('the recorder keeps points while the database is unavailable and saves them in order afterwards', async () => {
  const tracks = recorder();
  isUnavailable = true;
  await tracks.start();
  tracks.add(points(0, 3));
  await clock.advance(3_000);
  tracks.add(points(3, 5));
  isUnavailable = false;
  await clock.advance(1_000);
  expect(saved).toEqual([[0, 1, 2, 3, 4]]);
  expect(metrics.text()).not.toContain('track_points_lost_total');
  await tracks.stop();
});

test('the recorder drops and counts the oldest points beyond the maximum', async () => {
  const tracks = recorder(10);
  isUnavailable = true;
  await tracks.start();
  tracks.add(points(0, 8));
  await clock.advance(2_000);
  tracks.add(points(8, 15));
  expect(metrics.text()).toContain('track_points_lost_total 5\n');
  isUnavailable = false;
  await tracks.stop();
  expect(saved).toEqual([points(5, 15).map(({ recordedAtMs }) => recordedAtMs)]);
});

test('the recorder counts points that can not be saved at shutdown as lost', async () => {
  const tracks = recorder();
  isUnavailable = true;
  await tracks.start();
  tracks.add(points(0, 4));
  await tracks.stop();
  expect(metrics.text()).toContain('track_points_lost_total 4\n');
});
