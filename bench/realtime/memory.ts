import { systemClock } from '../../src/platform/clock.ts';

const readings = 6;
const pauseMs = 500;

/**
 * Resident memory of this process without what it no longer uses. What a collection frees goes back to
 * the kernel only some moments later, and a reading right after it has some MB of it or not, by chance:
 * the least of some readings counts.
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
