import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

/** Makes UUIDv7 (RFC 9562): they sort by time, so B-trees grow at their right edge. */
export type Ids = <Id extends string>() => Id;

/** Ids of one process strictly rise, also within one millisecond (the 12 bits of rand_a count). */
export function createIds(clock: Clock, random: Random): Ids {
  let lastMs = 0;
  let counter = 0;

  return <Id extends string>() => {
    const nowMs = clock.nowMs();
    if (nowMs > lastMs) {
      lastMs = nowMs;
      counter = 0;
    } else if (++counter > 0xfff) {
      lastMs++;
      counter = 0;
    }
    return format(lastMs, counter, random.bytes(8)) as Id;
  };
}

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Not above any id that was made at `ms` or later, not below any that was made before. */
export const firstIdAt = (ms: number): string => format(ms, 0, new Uint8Array(8));

/** Each request has an id: digits from a table, since lists and paddings cost five times as much. */
function format(ms: number, counter: number, tail: Uint8Array): string {
  const digits = (at: number) => hex[tail[at] ?? 0] ?? '';
  const time = ms.toString(16).padStart(12, '0');
  const a = (0x7000 | counter).toString(16);
  const variant = hex[((tail[0] ?? 0) & 0x3f) | 0x80] ?? '';
  const b = `${digits(2)}${digits(3)}${digits(4)}${digits(5)}${digits(6)}${digits(7)}`;
  return `${time.slice(0, 8)}-${time.slice(8)}-${a}-${variant}${digits(1)}-${b}`;
}
