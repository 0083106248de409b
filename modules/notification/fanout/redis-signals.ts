import type { Clock } from '@platform/clock.ts';
import type { Redis } from '@platform/redis.ts';
import type { Keys } from '../keys.ts';
import type { Signal, Signals } from './fanout.ts';

/** Before each signal of a message; in a message of its own kind, so that one carries those of many people. */
export const signalMark = 'signal ';

/** Signals of many people at once: one look-up of presence for each, one message for each instance. */
export function createRedisSignals(redis: Redis, keys: Keys, clock: Clock): Signals {
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
const lineOf = ({ personId, text }: Signal): string => `${signalMark}${personId} ${text}`;
