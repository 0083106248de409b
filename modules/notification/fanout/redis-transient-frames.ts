import type { Clock } from '@platform/clock.ts';
import type { Redis } from '@platform/redis/connection.ts';
import type { NotificationKeys } from '../keys.ts';
import type { TransientFrame, TransientFrames } from './fanout.ts';

/** Starts each line of a message with transient frames; one message carries the frames of many people. */
export const transientFramePrefix = 'signal ';

/** Sends the frames of many people with one presence lookup per person and one message per instance. */
export function createRedisTransientFrames(
  redis: Redis,
  keys: NotificationKeys,
  clock: Clock,
): TransientFrames {
  return {
    async send(frames) {
      const nowMs = clock.nowMs();
      const instanceIds = await Promise.all(
        frames.map(({ personId }) => redis.zrangebyscore(keys.presence(personId), nowMs, '+inf')),
      );
      const linesByInstance = new Map<string, string[]>();
      frames.forEach((frame, index) => {
        for (const instanceId of instanceIds[index] ?? []) {
          const lines = linesByInstance.get(instanceId) ?? [];
          linesByInstance.set(instanceId, lines);
          lines.push(lineOf(frame));
        }
      });
      await Promise.all(
        [...linesByInstance].map(([instanceId, lines]) =>
          redis.publish(keys.instance(instanceId), lines.join('\n')),
        ),
      );
    },
  };
}

// Serialised JSON contains no line break.
const lineOf = ({ personId, text }: TransientFrame): string => `${transientFramePrefix}${personId} ${text}`;
