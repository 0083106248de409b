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
  /** Reports the position every 3 s until `until` aborts, alternating between HTTP and the live connection. */
  run(until: AbortSignal): Promise<void>;
  /** Reports the position now and retries during an outage. Needed before transitions that depend on the position. */
  reportNow(): Promise<void>;
}

export function createPositionReporter(
  context: CityContext,
  person: CityPerson,
  motion: Motion,
  random: Random,
  isReporting: () => boolean,
): PositionReporter {
  const { clock, tally } = context;

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
    else countRejected(reply);
  }

  function countRejected(reply: FailedReply) {
    // A later position over the other channel overtook this one.
    if (reply.code === 'position.outdated') incrementCount(tally.provoked, reply.code);
    else countFailure(context, reply, false);
  }

  return {
    async run(until) {
      await clock.sleep(random.next() * reportIntervalMs, until);
      for (let turn = 0; !until.aborted; turn++) {
        const startedMs = clock.nowMs();
        if (isReporting()) await report(turn % 2 === 1);
        await clock.sleep(Math.max(100, reportIntervalMs - (clock.nowMs() - startedMs)), until);
      }
    },
    async reportNow() {
      const reply = await person.client.reportPosition(fix(), 30_000);
      if (!reply.ok) countRejected(reply);
    },
  };
}
