import type { EventType } from '@contracts/events.ts';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Random } from '../random.ts';
import { withTimeout } from '../with-timeout.ts';
import { type AckBatcher, createAckBatcher } from './ack-batcher.ts';
import type { HandlerOutcome, Subscription } from './bus.ts';
import { type UnpackedEvent, unpackEvents } from './event-batch.ts';
import { createHandlerRunner } from './handler-runner.ts';
import { attemptOf, buildFailedMessage, type OutgoingMessage, type ReceivedMessage } from './message.ts';
import { nextDelayMs } from './retry-policy.ts';
import { type BrokerNames, declareQueue, type QueueLimits } from './topology.ts';

export interface QueueConsumerOptions<T extends EventType> {
  subscription: Subscription<T>;
  names: BrokerNames;
  limits: QueueLimits;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  handlerTimeoutMs: number;
  /** Puts a message into a waiting queue or to the dead letters; rejects when that is not certain. */
  send(message: OutgoingMessage): Promise<void>;
  /** The channel is of no use any more, though its connection may be. */
  onChannelLost(reason: string): void;
}

/** One subscription, over all the connections that come and go. */
export interface QueueConsumer {
  attach(model: ChannelModel): Promise<void>;
  detach(): void;
  stop(): Promise<void>;
}

/** One channel. What was delivered on it can only be settled on it; after its end the broker delivers that again. */
interface Session {
  channel: Channel;
  acks: AckBatcher;
  consumerTag: string | undefined;
  over: boolean;
}

// A message of several events that came oftener holds one, likely, that its consumers die of: then each goes
// on alone, as after a first failure, and the others are not dead-lettered with it. A cut or a restart or two
// keep the order.
const sharedAttemptsMax = 3;
const sendAgainMs = 200;
const stopMsMax = 2_000;

export function createQueueConsumer<T extends EventType>(options: QueueConsumerOptions<T>): QueueConsumer {
  const { subscription, names, limits, clock, random, log, metrics, onChannelLost } = options;
  const { queue } = subscription;
  // One intake for all sessions: what comes again after a cut waits for the handler that still runs.
  const intake = createHandlerRunner(options);
  const stopping = new AbortController();
  let session: Session | undefined;

  return {
    async attach(model) {
      if (stopping.signal.aborted) return;
      const channel = await model.createChannel();
      const acks = createAckBatcher(channel, (error) =>
        log.debug({ queue, err: error }, 'the channel went before its last ack'),
      );
      const opened: Session = { channel, acks, consumerTag: undefined, over: false };
      session = opened;
      opened.channel.on('error', (error) => log.warn({ queue, err: error }, 'a consuming channel failed'));
      opened.channel.on('close', () => {
        const wasRunning = opened.consumerTag !== undefined && !opened.over;
        opened.over = true;
        if (wasRunning && !stopping.signal.aborted) onChannelLost(`the channel of ${queue} was closed`);
      });
      await declareQueue(opened.channel, names, queue, subscription.events, limits);
      await opened.channel.prefetch(subscription.prefetch);
      const consuming = await opened.channel.consume(names.queue(queue), (message) => {
        if (message !== null) receive(opened, message);
        else if (!opened.over) onChannelLost(`the broker cancelled the consumer of ${queue}`);
      });
      opened.consumerTag = consuming.consumerTag;
    },
    detach() {
      if (session !== undefined) session.over = true;
      session = undefined;
    },
    async stop() {
      stopping.abort();
      const last = session;
      // From now on nothing is begun, also of what arrives until the broker has heard it.
      const settled = intake.stop();
      let silent = false;
      if (last?.consumerTag !== undefined && !last.over) {
        const cancelled = last.channel.cancel(last.consumerTag).catch(() => undefined);
        silent = (await withTimeout(clock, stopMsMax, cancelled)) === 'late';
      }
      await settled;
      if (last === undefined || last.over) return;
      last.acks.flush();
      last.over = true;
      // What it was handed comes back to the others only when the channel ends.
      if (silent) return onChannelLost(`the broker does not answer to the end of ${queue}`);
      // Gives back, in order, what was handed to us and not begun.
      await withTimeout(clock, stopMsMax, last.channel.close()).catch(() => undefined);
    },
  };

  /** The message is acknowledged when each of its events is settled. */
  function receive(on: Session, message: ConsumeMessage): void {
    on.acks.track(message);
    const attempt = attemptOf(message);
    const parts = unpackEvents(message);
    let unsettled = parts.length;
    const settled = () => {
      if (--unsettled === 0 && !on.over) on.acks.acknowledge(message);
    };
    if (parts.length > 1 && attempt > sharedAttemptsMax) {
      const reason = `delivered ${attempt} times among others that were not all settled`;
      for (const part of parts) void settle(on, part.toSingleMessage, 1, { kind: 'retry', reason }, settled);
      return;
    }
    for (const part of parts) takePart(on, part, attempt, settled);
  }

  function takePart(
    on: Session,
    { result, toSingleMessage }: UnpackedEvent,
    attempt: number,
    settled: () => void,
  ): void {
    if (result.kind === 'broken') {
      log.error({ queue, reason: result.reason }, 'a message can never be handled');
      void settle(on, toSingleMessage, attempt, { kind: 'reject', reason: result.reason }, settled);
      return;
    }
    const startedMs = clock.nowMs();
    intake.enqueue({
      event: result.event,
      attempt,
      isStale: () => on.over,
      requeue: () => undefined,
      async settle(outcome) {
        metrics.observe('bus_settle_ms', clock.nowMs() - startedMs, { queue });
        await settle(on, toSingleMessage, attempt, outcome, settled);
      },
    });
  }

  async function settle(
    on: Session,
    alone: () => ReceivedMessage,
    attempt: number,
    outcome: HandlerOutcome,
    settled: () => void,
  ): Promise<void> {
    metrics.count('bus_handled_total', { queue, outcome: outcome.kind });
    if (outcome.kind !== 'done' && !(await pass(on, alone(), attempt, outcome))) return;
    settled();
  }

  /**
   * Sends a failed message on before it is acknowledged: a crash in between doubles it, never loses
   * it. False when its session ended first, after which the broker delivers it again anyway.
   */
  async function pass(
    on: Session,
    message: ReceivedMessage,
    attempt: number,
    outcome: Exclude<HandlerOutcome, { kind: 'done' }>,
  ): Promise<boolean> {
    const again = outcome.kind === 'retry' && attempt < limits.retry.attemptsMax;
    const target = again
      ? names.retryQueue(queue, nextDelayMs(limits.retry, attempt, random))
      : names.deadLetterQueue(queue);
    if (!again) metrics.count('bus_dead_total', { queue });
    while (!on.over) {
      try {
        await options.send(buildFailedMessage(target, message, attempt, outcome.reason, clock.nowMs()));
        return true;
      } catch (error) {
        log.warn({ queue, target, err: error }, 'a failed message could not be sent on; trying again');
        if (stopping.signal.aborted) return false;
        await clock.sleep(sendAgainMs, stopping.signal);
      }
    }
    return false;
  }
}
