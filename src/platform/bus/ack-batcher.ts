import type { Channel, ConsumeMessage } from 'amqplib';

/** Acknowledges the deliveries of one channel with one consumer. */
export interface AckBatcher {
  /** Must be called for each delivery, in order of arrival. */
  track(message: ConsumeMessage): void;
  acknowledge(message: ConsumeMessage): void;
  /** Sends the pending acknowledgements now instead of at the end of the turn. */
  flush(): void;
}

/**
 * Combines the acknowledgements of one turn of the event loop. Where no earlier delivery is still being
 * handled, one frame acknowledges everything up to a delivery, and a quorum queue writes one entry to
 * its log for all of them. `onError` is called when the channel was already closed.
 */
export function createAckBatcher(channel: Channel, onError: (error: unknown) => void): AckBatcher {
  const unacknowledged = new Set<ConsumeMessage>();
  const pending = new Set<ConsumeMessage>();
  let scheduled: NodeJS.Immediate | undefined;

  return {
    track: (message) => void unacknowledged.add(message),
    acknowledge(message) {
      pending.add(message);
      scheduled ??= setImmediate(flush);
    },
    flush,
  };

  function flush(): void {
    clearImmediate(scheduled);
    scheduled = undefined;
    let lastInSequence: ConsumeMessage | undefined;
    for (const message of unacknowledged) {
      if (!pending.delete(message)) break;
      unacknowledged.delete(message);
      lastInSequence = message;
    }
    try {
      if (lastInSequence !== undefined) channel.ack(lastInSequence, true);
      for (const message of pending) channel.ack(message);
    } catch (error) {
      onError(error);
    }
    for (const message of pending) unacknowledged.delete(message);
    pending.clear();
  }
}
