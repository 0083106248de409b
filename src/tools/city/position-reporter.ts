import { formatTimestamp } from '@contracts/common.ts';
import type { PositionFix } from '@contracts/drivers.ts';
import type { Random } from '@platform/random.ts';
import { type CityContext, countFailure } from './city-context.ts';
import type { FailedReply } from './http.ts';
import type { Motion } from './motion.ts';
import type { CityPerson } from './person.ts';
import { incrementCount } from './tally.ts';

export const reportIntervalMs = 3_000;

export interface PositionReporter {
  /** Sends where the driver is every 3 s, by turns over HTTP and over the live connection, until `until`. */
  run(until: AbortSignal): Promise<void>;
  /** Sends it now, and waits out an outage: before a step that is judged by where the driver is. */
  reportNow(): Promise<void>;
}

export function createPositionReporter(
  world: CityContext,
  person: CityPerson,
  motion: Motion,
  random: Random,
  isAwake: () => boolean,
): PositionReporter {
  const { clock, tally } = world;

  const fix = (): PositionFix => ({
    ...motion.position(),
    recordedAt: formatTimestamp(clock.nowMs()),
    headingDegrees: Math.round(motion.headingDegrees()) % 360,
    speedMetresPerSecond: motion.speed(),
  });

  async function report(overSocket: boolean) {
    if (overSocket && person.live.sendPosition(fix())) return;
    const reply = await person.client.reportPosition(fix());
    if (reply.ok) return;
    const isOutage = reply.status === null || reply.status === 429 || reply.status >= 502;
    if (isOutage) tally.retried++;
    else noteRefused(reply);
  }

  function noteRefused(reply: FailedReply) {
    // It was overtaken by one that went through the other door.
    if (reply.code === 'position.outdated') incrementCount(tally.provoked, reply.code);
    else countFailure(world, reply, false);
  }

  return {
    async run(until) {
      await clock.sleep(random.next() * reportIntervalMs, until);
      for (let turn = 0; !until.aborted; turn++) {
        const startedMs = clock.nowMs();
        if (isAwake()) await report(turn % 2 === 1);
        await clock.sleep(Math.max(100, reportIntervalMs - (clock.nowMs() - startedMs)), until);
      }
    },
    async reportNow() {
      const reply = await person.client.reportPosition(fix(), 30_000);
      if (!reply.ok) noteRefused(reply);
    },
  };
}
