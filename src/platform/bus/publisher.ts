import type { ChannelModel, ConfirmChannel } from 'amqplib';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { OutgoingMessage } from './message.ts';
import { createSendCall, type SendCall } from './send-call.ts';
import { type BrokerNames, declareExchange } from './topology.ts';

export interface PublisherDeps {
  names: BrokerNames;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** The most messages, of all callers together, that the broker has not confirmed yet. */
  unconfirmedMax: number;
  /** How long one `send` may take, including the wait for a connection, an alarm or confirms. */
  sendTimeoutMs: number;
}

export interface Publisher {
  /** Starts publishing on a new connection. */
  attach(model: ChannelModel): Promise<void>;
  /** The connection is lost. */
  detach(): void;
  /**
   * Publishes the messages in order and resolves when the broker has confirmed all of them.
   *
   * @throws `service.unavailable` when that is not known of all; any of them may have arrived then.
   *   After a lost connection none of the later messages is sent, so that the order holds.
   */
  send(messages: readonly OutgoingMessage[]): Promise<void>;
  close(): void;
}

/** The channel of one connection and what is in flight on it. */
interface PublishSession {
  channel: ConfirmChannel;
  unconfirmed: number;
  calls: Set<SendCall>;
  /** Correlation ids of messages that no queue took. The broker confirms them afterwards, which counts as a failure. */
  returnedIds: Set<string>;
}

/**
 * Publishes with confirms. States: detached (no connection) → attached → blocked (resource alarm of the
 * broker) → attached … → closed. A `send` waits while the publisher is detached, blocked or has
 * `unconfirmedMax` messages in flight.
 */
export function createPublisher(deps: PublisherDeps): Publisher {
  const { names, clock, log, metrics, unconfirmedMax, sendTimeoutMs } = deps;
  let session: PublishSession | undefined;
  let isBlocked = false;
  let isClosed = false;
  let lastCorrelationId = 0;
  const change = createChangeSignal();
  metrics.gauge('bus_unconfirmed', () => session?.unconfirmed ?? 0);
  metrics.gauge('bus_blocked', () => (isBlocked ? 1 : 0));

  return {
    async attach(model) {
      model.on('blocked', (reason) => setBlocked(true, reason));
      model.on('unblocked', () => setBlocked(false));
      session = await openSession(model);
      change.notify();
    },
    detach() {
      isBlocked = false;
      if (session !== undefined) endSession(session);
    },
    async send(messages) {
      const call = createSendCall(change.notify);
      const ended = new AbortController();
      const onTimeout = () => call.fail(`not confirmed in ${sendTimeoutMs} ms`);
      void clock.sleep(sendTimeoutMs, ended.signal).then(onTimeout);
      void sendAll(messages, call).catch((error: unknown) => call.fail('could not be sent', error));
      try {
        await call.settled;
      } finally {
        ended.abort();
      }
    },
    close() {
      isClosed = true;
      if (session !== undefined) endSession(session);
      change.notify();
    },
  };

  async function openSession(model: ChannelModel): Promise<PublishSession> {
    const channel = await model.createConfirmChannel();
    // An error closes the channel, and 'close' ends the session.
    channel.on('error', (error) => log.warn({ err: error }, 'publishing channel failed'));
    await declareExchange(channel, names);
    const opened: PublishSession = { channel, unconfirmed: 0, calls: new Set(), returnedIds: new Set() };
    channel.on('return', ({ properties }) => opened.returnedIds.add(String(properties.correlationId)));
    channel.on('close', () => endSession(opened));
    return opened;
  }

  async function sendAll(messages: readonly OutgoingMessage[], call: SendCall): Promise<void> {
    let callSession: PublishSession | undefined;
    for (const message of messages) {
      while (!call.hasFailed() && !isClosed && !canProceed(callSession)) await change.next();
      if (call.hasFailed()) return;
      if (isClosed || session === undefined) return call.fail('the bus is closed');
      if (callSession !== undefined && callSession !== session) return call.fail('the connection was lost');
      callSession = session;
      sendOne(session, message, call);
    }
    call.onAllSent();
  }

  /** True when there is room, and also when the session was replaced: the call then has to fail. */
  function canProceed(callSession: PublishSession | undefined): boolean {
    if (callSession !== undefined && callSession !== session) return true;
    return session !== undefined && !isBlocked && session.unconfirmed < unconfirmedMax;
  }

  function sendOne(to: PublishSession, message: OutgoingMessage, call: SendCall): void {
    const { exchange, routingKey, content, options } = message;
    const correlationId = String(++lastCorrelationId);
    // Only mandatory messages can be returned. The return carries the id and comes before the confirm.
    const sendOptions = options.mandatory === true ? { ...options, correlationId } : options;
    to.unconfirmed++;
    to.calls.add(call);
    call.onMessageSent();
    to.channel.publish(exchange, routingKey, content, sendOptions, (error: unknown) => {
      to.unconfirmed--;
      change.notify();
      if (error) call.fail('refused by the broker', error);
      else if (to.returnedIds.delete(correlationId)) call.fail(`there is no queue ${routingKey}`);
      if (call.onMessageConfirmed()) to.calls.delete(call);
    });
  }

  function endSession(ended: PublishSession): void {
    for (const call of ended.calls) call.fail('the connection was lost before all messages were confirmed');
    ended.calls.clear();
    if (session === ended) session = undefined;
    change.notify();
  }

  function setBlocked(next: boolean, reason = ''): void {
    isBlocked = next;
    log.warn({ reason }, next ? 'broker blocked publishing' : 'broker unblocked publishing');
    change.notify();
  }
}

/** Wakes every `send` that waits for a connection, the end of an alarm, or room. */
function createChangeSignal() {
  let waiters: (() => void)[] = [];
  return {
    next: (): Promise<void> => new Promise((resolve) => waiters.push(resolve)),
    notify(): void {
      const woken = waiters;
      waiters = [];
      for (const resolve of woken) resolve();
    },
  };
}
