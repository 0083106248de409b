import type { Clock } from '@platform/clock.ts';
import type { Redis } from '@platform/redis/connection.ts';
import type { NotificationKeys } from '../keys.ts';
import type { TransientFrame, TransientFrames } from './fanout.ts';

/** Before each signal of a message; in a message of its own kind, so that one carries those of many people. */
export const transientFramePrefix = 'signal ';

/** Signals of many people at once: one look-up of presence for each, one message for each instance. */
export function createRedisTransientFrames(
  redis: Redis,
  keys: NotificationKeys,
  clock: Clock,
): TransientFrames {
  return {
    async send(signals) {
      const nowMs = clock.nowMs();
      const holders = await Promise.all(
        signals.map(({ personId }) => redis.zrangebyscore(keys.presence(personId), nowMs, '+inf')),
      );
      const linesOf = new Map<string, string[]>();
      signals.forEach((signal, place) => {
        for (const holder of holders[place] ?? []) {
          const lines = linesOf.get(holder) ?? [];
          linesOf.set(holder, lines);
          lines.push(lineOf(signal));
        }
      });
      await Promise.all(
        [...linesOf].map(([holder, lines]) => redis.publish(keys.instance(holder), lines.join('\n'))),
      );
    },
  };
}

// Text of JSON has no line break of its own.
const lineOf = ({ personId, text }: TransientFrame): string => `${transientFramePrefix}${personId} ${text}`;
