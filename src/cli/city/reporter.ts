import { timestamp } from '@contracts/common.ts';
import type { PositionFix } from '@contracts/drivers.ts';
import type { Random } from '@platform/random.ts';
import type { Refusal } from './http.ts';
import type { Motion } from './motion.ts';
import type { Person } from './person.ts';
import { count } from './tally.ts';
import { noteRefusal, type World } from './world.ts';

export const reportEveryMs = 3_000;

export interface Reporter {
  /** Sends where the driver is every 3 s, by turns over HTTP and over the live connection, until `until`. */
  run(until: AbortSignal): Promise<void>;
  /** Sends it now, and waits out an outage: before a step that is judged by where the driver is. */
  now(): Promise<void>;
}

export function createReporter(
  world: World,
  person: Person,
  motion: Motion,
  random: Random,
  isAwake: () => boolean,
): Reporter {
  const { clock, tally } = world;

  const fix = (): PositionFix => ({
    ...motion.position(),
    recordedAt: timestamp(clock.nowMs()),
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

  function noteRefused(reply: Refusal) {
    // It was overtaken by one that went through the other door.
    if (reply.code === 'position.outdated') count(tally.provoked, reply.code);
    else noteRefusal(world, reply, false);
  }

  return {
    async run(until) {
      await clock.sleep(random.next() * reportEveryMs, until);
      for (let turn = 0; !until.aborted; turn++) {
        const startedMs = clock.nowMs();
        if (isAwake()) await report(turn % 2 === 1);
        await clock.sleep(Math.max(100, reportEveryMs - (clock.nowMs() - startedMs)), until);
      }
    },
    async now() {
      const reply = await person.client.reportPosition(fix(), 30_000);
      if (!reply.ok) noteRefused(reply);
    },
  };
}
