import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

/** Makes UUIDv7 (RFC 9562): they sort by time, so B-trees grow at their right edge. */
export type Ids = <Id extends string>() => Id;

/** The ids of one process strictly rise, also within one millisecond and when the clock steps back. */
export function createIds(clock: Clock, random: Random): Ids {
  let lastMs = 0;
  return <Id extends string>() => {
    lastMs = Math.max(lastMs, clock.nowMs());
    return random.uuidV7(lastMs) as Id;
  };
}

/** Not above any id that is made at `ms` or later, and not below any id that was made before. */
export function firstIdAt(ms: number): string {
  const time = ms.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`;
}
