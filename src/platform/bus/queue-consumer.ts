import type { EventType } from '@contracts/events.ts';
import type { Channel, ChannelModel } from 'amqplib';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Random } from '../random.ts';
import { withTimeout } from '../with-timeout.ts';
import { createAckBatcher } from './ack-batcher.ts';
import type { Subscription } from './bus.ts';
import type { ChannelSession } from './channel-session.ts';
import { createHandlerRunner } from './handler-runner.ts';
import type { OutgoingMessage } from './message.ts';
import { createMessageReceiver } from './message-receiver.ts';
import type { RetryPolicy } from './retry-policy.ts';
import { type BrokerNames, declareQueue, type QueueLimits } from './topology.ts';

export interface QueueConsumerDeps<T extends EventType> {
  subscription: Subscription<T>;
  names: BrokerNames;
  limits: QueueLimits;
  retry: RetryPolicy;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  handlerTimeoutMs: number;
  /** Sends a failed message to a retry queue or to the dead letters; rejects when that is not certain. */
  send(message: OutgoingMessage): Promise<void>;
  /** The channel can no longer be used, though its connection may be fine. */
  onChannelLost(reason: string): void;
}

/** The consumer of one subscription. It outlives the connections on which it consumes. */
export interface QueueConsumer {
  /** Starts consuming on a new connection. */
  attach(model: ChannelModel): Promise<void>;
  /** The connection is lost. */
  detach(): void;
  stop(): Promise<void>;
}

const stopTimeoutMs = 2_000;

/**
 * States: detached (no connection) → consuming, on one channel session → detached …; `stop` ends it in
 * any state. A session is over when its channel or its connection is lost; deliveries that are still
 * being handled then are stale, and their outcome is dropped.
 */
export function createQueueConsumer<T extends EventType>(deps: QueueConsumerDeps<T>): QueueConsumer {
  const { subscription, names, limits, retry, clock, log, onChannelLost } = deps;
  const { queue } = subscription;
  // One runner for all sessions: what is redelivered after a lost connection waits for the handler that still runs.
  const runner = createHandlerRunner(deps);
  const stopping = new AbortController();
  const receiver = createMessageReceiver({ ...deps, queue, runner, stopping: stopping.signal });
  let session: ChannelSession | undefined;

  return {
    async attach(model) {
      if (stopping.signal.aborted) return;
      const opened = openSession(await model.createChannel());
      session = opened;
      await declareQueue(opened.channel, names, { name: queue, types: subscription.events, limits, retry });
      await opened.channel.prefetch(subscription.prefetch);
      const { consumerTag } = await opened.channel.consume(names.queue(queue), (message) => {
        if (message !== null) receiver.receive(opened, message);
        else if (!opened.isOver) onChannelLost(`the broker cancelled the consumer of ${queue}`);
      });
      opened.consumerTag = consumerTag;
    },
    detach() {
      if (session !== undefined) session.isOver = true;
      session = undefined;
    },
    async stop() {
      stopping.abort();
      const last = session;
      // From here on no handler starts, also not for what arrives before the broker has cancelled.
      const settled = runner.stop();
      let isBrokerSilent = false;
      if (last?.consumerTag !== undefined && !last.isOver) {
        const cancelled = last.channel.cancel(last.consumerTag).catch(() => undefined);
        isBrokerSilent = (await withTimeout(clock, stopTimeoutMs, cancelled)) === 'late';
      }
      await settled;
      if (last === undefined || last.isOver) return;
      last.acks.flush();
      last.isOver = true;
      // The broker redelivers the unhandled deliveries to other consumers only when the channel ends.
      if (isBrokerSilent) return onChannelLost(`the broker did not answer the cancellation of ${queue}`);
      // Returns the unhandled deliveries to the queue, in order.
      await withTimeout(clock, stopTimeoutMs, last.channel.close()).catch(() => undefined);
    },
  };

  function openSession(channel: Channel): ChannelSession {
    const acks = createAckBatcher(channel, (error) =>
      log.debug({ queue, err: error }, 'channel closed before the last acknowledgement'),
    );
    const opened: ChannelSession = { channel, acks, consumerTag: undefined, isOver: false };
    channel.on('error', (error) => log.warn({ queue, err: error }, 'consuming channel failed'));
    channel.on('close', () => {
      const wasConsuming = opened.consumerTag !== undefined && !opened.isOver;
      opened.isOver = true;
      if (wasConsuming && !stopping.signal.aborted) onChannelLost(`the channel of ${queue} was closed`);
    });
    return opened;
  }
}
