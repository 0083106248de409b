import type { Channel, ConsumeMessage } from 'amqplib';

/** Acknowledges what was delivered on one channel to its one consumer. */
export interface AckBatcher {
  /** Each delivery, in the order of its arrival. */
  track(message: ConsumeMessage): void;
  acknowledge(message: ConsumeMessage): void;
  /** Sends at once what else goes at the end of the turn. */
  flush(): void;
}

/**
 * Deliveries that are settled in the same turn are acknowledged together: one frame says "all up to
 * this one" wherever none before it is still being handled, and a quorum queue writes one entry for
 * all of them into its log. `failed` hears that the channel was gone already.
 */
export function createAckBatcher(channel: Channel, failed: (error: unknown) => void): AckBatcher {
  const open = new Set<ConsumeMessage>();
  const settled = new Set<ConsumeMessage>();
  let scheduled: NodeJS.Immediate | undefined;

  return {
    track: (message) => void open.add(message),
    acknowledge(message) {
      settled.add(message);
      scheduled ??= setImmediate(flush);
    },
    flush,
  };

  function flush(): void {
    clearImmediate(scheduled);
    scheduled = undefined;
    let upTo: ConsumeMessage | undefined;
    for (const message of open) {
      if (!settled.delete(message)) break;
      open.delete(message);
      upTo = message;
    }
    try {
      if (upTo !== undefined) channel.ack(upTo, true);
      for (const message of settled) channel.ack(message);
    } catch (error) {
      failed(error);
    }
    for (const message of settled) open.delete(message);
    settled.clear();
  }
}
