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

/** Not above any id that was made at `ms` or later, not below any that was made before. */
export const firstIdAt = (ms: number): string => format(ms, 0, new Uint8Array(8));

function format(ms: number, counter: number, tail: Uint8Array): string {
  const time = ms.toString(16).padStart(12, '0');
  const a = (0x7000 | counter).toString(16);
  const [first = 0, ...rest] = tail;
  const b = [(first & 0x3f) | 0x80, ...rest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${time.slice(0, 8)}-${time.slice(8)}-${a}-${b.slice(0, 4)}-${b.slice(4)}`;
}
