import { systemClock } from '../../src/platform/clock.ts';

const readings = 6;
const pauseMs = 500;

/**
 * Measures the resident memory of this process without garbage. Memory freed by a collection returns to the
 * kernel only some time later, so a single reading may include some MB of it. The minimum of several readings
 * counts.
 */
export async function measureSettledBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < readings; reading++) {
    Bun.gc(true);
    await systemClock.sleep(pauseMs);
    least = Math.min(least, process.memoryUsage.rss());
  }
  return least;
}
