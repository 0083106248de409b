import { expect, test } from 'bun:test';
import { createStraightLineRouter } from './router.ts';

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
const secondsIn = async (zone: string, time: string) =>
  (await createStraightLineRouter(zone).route(pickup, dropoff, Date.parse(time))).durationSeconds;

test('a drive takes longer at the local rush hour, whatever the offset from UTC', async () => {
  const rush = await secondsIn('Asia/Ho_Chi_Minh', '2026-11-22T10:30:00Z');
  expect(await secondsIn('Asia/Kolkata', '2026-11-22T11:30:00Z')).toBe(rush);
  expect(await secondsIn('Europe/Berlin', '2026-07-01T15:30:00Z')).toBe(rush);
  expect(await secondsIn('Europe/Berlin', '2026-12-01T16:30:00Z')).toBe(rush);
  expect(await secondsIn('Asia/Ho_Chi_Minh', '2026-11-22T20:00:00Z')).toBeLessThan(rush * 0.6);
});

test('in a time zone with a half-hour offset, the speed changes on its own hour', async () => {
  // 17:00 in Kolkata is slower than 16:59.
  const before = await secondsIn('Asia/Kolkata', '2026-11-22T11:29:59Z');
  expect(await secondsIn('Asia/Kolkata', '2026-11-22T11:30:00Z')).toBeGreaterThan(before);
});
