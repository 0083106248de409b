import { expect, test } from 'bun:test';
import { createLocalHour, isTimeZone } from './local-hour.ts';

const at = (time: string) => Date.parse(time);

test.each([
  ['Asia/Ho_Chi_Minh', '2026-11-22T16:59:59.999Z', 23],
  ['Asia/Ho_Chi_Minh', '2026-11-22T17:00:00Z', 0],
  ['Asia/Kolkata', '2026-11-22T18:29:59.999Z', 23],
  ['Asia/Kolkata', '2026-11-22T18:30:00Z', 0],
  ['Asia/Kathmandu', '2026-11-22T18:14:59.999Z', 23],
  ['Asia/Kathmandu', '2026-11-22T18:15:00Z', 0],
  ['America/St_Johns', '2026-07-01T02:29:59.999Z', 23],
  ['America/St_Johns', '2026-07-01T02:30:00Z', 0],
  ['America/St_Johns', '2026-12-01T03:30:00Z', 0],
  ['Pacific/Kiritimati', '2026-11-22T10:00:00Z', 0],
  ['Pacific/Marquesas', '1969-12-31T23:59:59Z', 14],
])('the local hour of %s at %s is %d', (zone, time, hour) => {
  expect(createLocalHour(zone)(at(time))).toBe(hour);
});

test('the hours that daylight saving skips and repeats are computed correctly', () => {
  const berlin = createLocalHour('Europe/Berlin');
  // Spring: after 1:59 local time comes 3:00.
  expect(berlin(at('2026-03-29T00:59:59.999Z'))).toBe(1);
  expect(berlin(at('2026-03-29T01:00:00Z'))).toBe(3);
  // Autumn: after 2:59 comes 2:00 once more.
  expect(berlin(at('2026-10-25T00:30:00Z'))).toBe(2);
  expect(berlin(at('2026-10-25T01:30:00Z'))).toBe(2);
  expect(berlin(at('2026-10-25T02:00:00Z'))).toBe(3);
  expect(berlin(at('2026-10-24T23:59:00Z'))).toBe(1);
});

test('only time zones that the runtime knows are accepted', () => {
  for (const zone of ['Asia/Ho_Chi_Minh', 'Asia/Kolkata', 'UTC', 'America/St_Johns'])
    expect(isTimeZone(zone)).toBe(true);
  for (const zone of ['', '7', 'Asia/Nowhere', 'Asia/Ho Chi Minh', 'UTC+7', '../../etc/passwd'])
    expect(isTimeZone(zone)).toBe(false);
});
