import type { ChannelModel, ConfirmChannel } from 'amqplib';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { problem } from '../problems.ts';
import type { OutgoingMessage } from './message.ts';
import { type BrokerNames, declareExchange } from './topology.ts';

export interface PublisherOptions {
  names: BrokerNames;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Messages that the broker has not confirmed yet, of all callers together, at most. */
  unconfirmedMax: number;
  /** How long one `send` may take, waiting for a connection, an alarm or confirms included. */
  sendTimeoutMs: number;
}

export interface Publisher {
  attach(model: ChannelModel): Promise<void>;
  detach(): void;
  /**
   * Hands the messages over in their order. Resolves when the broker has confirmed all of them;
   * rejects with `service.unavailable` when that is not known of all: then any of them may have
   * arrived. After a cut in the middle none of the later ones is sent, so that order holds.
   */
  send(messages: readonly OutgoingMessage[]): Promise<void>;
  close(): void;
}

/** What one connection's channel is in the middle of. */
interface Session {
  channel: ConfirmChannel;
  unconfirmed: number;
  calls: Set<Call>;
  /** Messages that no queue took: their confirm follows, and is none. */
  returned: Set<string>;
}

/** One `send`. */
interface Call {
  unconfirmed: number;
  allSent: boolean;
  failure: Error | undefined;
  settled: PromiseWithResolvers<void>;
}

export function createPublisher(options: PublisherOptions): Publisher {
  const { names, clock, log, metrics, unconfirmedMax, sendTimeoutMs } = options;
  let session: Session | undefined;
  let blocked = false;
  let closed = false;
  let lastCorrelation = 0;
  let sleepers: (() => void)[] = [];
  metrics.gauge('bus_unconfirmed', () => session?.unconfirmed ?? 0);
  metrics.gauge('bus_blocked', () => (blocked ? 1 : 0));

  return {
    async attach(model) {
      model.on('blocked', (reason) => block(true, reason));
      model.on('unblocked', () => block(false));
      const channel = await model.createConfirmChannel();
      // An error of the channel ends it, and with it nothing less than the session.
      channel.on('error', (error) => log.warn({ err: error }, 'the publishing channel failed'));
      await declareExchange(channel, names);
      const opened: Session = { channel, unconfirmed: 0, calls: new Set(), returned: new Set() };
      channel.on('return', ({ properties }) => opened.returned.add(String(properties.correlationId)));
      channel.on('close', () => lose(opened));
      session = opened;
      wake();
    },
    detach() {
      blocked = false;
      if (session !== undefined) lose(session);
    },
    async send(messages) {
      const call: Call = {
        unconfirmed: 0,
        allSent: false,
        failure: undefined,
        settled: Promise.withResolvers<void>(),
      };
      const ended = new AbortController();
      void clock
        .sleep(sendTimeoutMs, ended.signal)
        .then(() => fail(call, `not confirmed in ${sendTimeoutMs} ms`));
      void put(messages, call).catch((error: unknown) => fail(call, 'could not be sent', error));
      try {
        await call.settled.promise;
      } finally {
        ended.abort();
      }
    },
    close() {
      closed = true;
      if (session !== undefined) lose(session);
      wake();
    },
  };

  async function put(messages: readonly OutgoingMessage[], call: Call): Promise<void> {
    let on: Session | undefined;
    for (const message of messages) {
      while (call.failure === undefined && !closed && !hasRoom(on)) await change();
      if (call.failure !== undefined) return;
      if (closed || session === undefined) return fail(call, 'the bus is closed');
      if (on !== undefined && on !== session) return fail(call, 'the connection was lost');
      on = session;
      putOne(session, message, call);
    }
    call.allSent = true;
    settleIfDone(call);
  }

  /** A session that replaced the one the call began on counts as room: the call ends there. */
  function hasRoom(on: Session | undefined): boolean {
    if (on !== undefined && on !== session) return true;
    return session !== undefined && !blocked && session.unconfirmed < unconfirmedMax;
  }

  function putOne(
    to: Session,
    { exchange, routingKey, content, options }: OutgoingMessage,
    call: Call,
  ): void {
    const correlationId = String(++lastCorrelation);
    // Only what must have its queue can come back: the return names the message, the confirm follows.
    const sent = options.mandatory === true ? { ...options, correlationId } : options;
    to.unconfirmed++;
    to.calls.add(call);
    call.unconfirmed++;
    to.channel.publish(exchange, routingKey, content, sent, (error: unknown) => {
      to.unconfirmed--;
      call.unconfirmed--;
      wake();
      if (error) fail(call, 'refused by the broker', error);
      else if (to.returned.delete(correlationId)) fail(call, `there is no queue ${routingKey}`);
      settleIfDone(call);
      if (call.unconfirmed === 0) to.calls.delete(call);
    });
  }

  function settleIfDone(call: Call): void {
    if (call.allSent && call.unconfirmed === 0 && call.failure === undefined) call.settled.resolve();
  }

  function fail(call: Call, detail: string, cause?: unknown): void {
    call.failure ??= problem('service.unavailable', { detail: `message broker: ${detail}`, cause });
    call.settled.reject(call.failure);
    wake();
  }

  function lose(lost: Session): void {
    for (const call of lost.calls) fail(call, 'the connection was lost before all was confirmed');
    lost.calls.clear();
    if (session === lost) session = undefined;
    wake();
  }

  function block(now: boolean, reason = ''): void {
    blocked = now;
    log.warn({ blocked, reason }, now ? 'the broker takes nothing more for now' : 'the broker takes again');
    wake();
  }

  /** Resolves at the next change of connection, alarm or room. */
  function change(): Promise<void> {
    return new Promise((resolve) => sleepers.push(resolve));
  }

  function wake(): void {
    const woken = sleepers;
    sleepers = [];
    for (const resolve of woken) resolve();
  }
}
