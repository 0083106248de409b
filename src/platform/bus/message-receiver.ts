import type { ConsumeMessage } from 'amqplib';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Random } from '../random.ts';
import type { HandlerOutcome } from './bus.ts';
import type { ChannelSession } from './channel-session.ts';
import { type UnpackedEvent, unpackEvents } from './event-batch.ts';
import type { HandlerRunner } from './handler-runner.ts';
import { attemptOf, buildFailedMessage, type OutgoingMessage, type ReceivedMessage } from './message.ts';
import { nextDelayMs, type RetryPolicy } from './retry-policy.ts';
import type { BrokerNames } from './topology.ts';

export interface MessageReceiverDeps {
  queue: string;
  names: BrokerNames;
  retry: RetryPolicy;
  runner: HandlerRunner;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  /** Aborts when the consumer stops. */
  stopping: AbortSignal;
  send(message: OutgoingMessage): Promise<void>;
}

// A batch that was delivered more often than this probably holds one event that crashes its consumers. Its
// events are then retried one by one, as after a first failure, so that the others do not become dead
// letters with it. A lost connection or a restart or two stay below this and keep the order.
const batchAttemptsMax = 3;
const resendPauseMs = 200;

/**
 * Takes messages from the queue apart, passes their events to the handler runner, and settles each event:
 * a handled one is done, a failed one is sent on to a retry queue or to the dead letters. The message is
 * acknowledged when every one of its events is settled.
 */
export function createMessageReceiver(deps: MessageReceiverDeps) {
  const { queue, names, retry, runner, clock, random, log, metrics, stopping, send } = deps;
  return { receive };

  function receive(session: ChannelSession, message: ConsumeMessage): void {
    session.acks.track(message);
    const attempt = attemptOf(message);
    const events = unpackEvents(message);
    let unsettled = events.length;
    const onSettled = () => {
      if (--unsettled === 0 && !session.isOver) session.acks.acknowledge(message);
    };
    if (events.length > 1 && attempt > batchAttemptsMax) {
      const reason = `delivered ${attempt} times in a batch that was never settled`;
      for (const { toSingleMessage } of events)
        void settle(session, toSingleMessage, 1, { kind: 'retry', reason }, onSettled);
      return;
    }
    for (const event of events) handleEvent(session, event, attempt, onSettled);
  }

  function handleEvent(
    session: ChannelSession,
    { result, toSingleMessage }: UnpackedEvent,
    attempt: number,
    onSettled: () => void,
  ): void {
    if (result.kind === 'invalid') {
      log.error({ queue, reason: result.reason }, 'rejected invalid message');
      void settle(session, toSingleMessage, attempt, { kind: 'reject', reason: result.reason }, onSettled);
      return;
    }
    const receivedMs = clock.nowMs();
    runner.enqueue({
      event: result.event,
      attempt,
      isStale: () => session.isOver,
      // The broker returns it to the queue when the channel ends.
      requeue: () => undefined,
      async settle(outcome) {
        metrics.observe('bus_settle_ms', clock.nowMs() - receivedMs, { queue });
        await settle(session, toSingleMessage, attempt, outcome, onSettled);
      },
    });
  }

  async function settle(
    session: ChannelSession,
    toSingleMessage: () => ReceivedMessage,
    attempt: number,
    outcome: HandlerOutcome,
    onSettled: () => void,
  ): Promise<void> {
    metrics.count('bus_handled_total', { queue, outcome: outcome.kind });
    if (outcome.kind !== 'done' && !(await forwardFailed(session, toSingleMessage(), attempt, outcome)))
      return;
    onSettled();
  }

  /**
   * Sends a failed event on before its message is acknowledged: a crash in between duplicates the event
   * and never loses it. Resolves to false when the session ended first; the broker then redelivers.
   */
  async function forwardFailed(
    session: ChannelSession,
    message: ReceivedMessage,
    attempt: number,
    outcome: Exclude<HandlerOutcome, { kind: 'done' }>,
  ): Promise<boolean> {
    const mayRetry = outcome.kind === 'retry' && attempt < retry.attemptsMax;
    const target = mayRetry
      ? names.retryQueue(queue, nextDelayMs(retry, attempt, random))
      : names.deadLetterQueue(queue);
    if (!mayRetry) metrics.count('bus_dead_total', { queue });
    while (!session.isOver) {
      try {
        await send(buildFailedMessage(target, message, attempt, outcome.reason, clock.nowMs()));
        return true;
      } catch (error) {
        log.warn({ queue, target, err: error }, 'failed to forward failed message, trying again');
        if (stopping.aborted) return false;
        await clock.sleep(resendPauseMs, stopping);
      }
    }
    return false;
  }
}
