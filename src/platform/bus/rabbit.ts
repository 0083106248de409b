import type { EventType } from '@contracts/events.ts';
import type { Channel, ChannelModel } from 'amqplib';
import type { Clock } from '../clock.ts';
import { fault } from '../faults.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Random } from '../random.ts';
import { within } from '../within.ts';
import { packEvents } from './batch.ts';
import type { Bus, DeadLetter, OperableBus, Subscription } from './bus.ts';
import { createConnection } from './connection.ts';
import { type Consumer, createConsumer } from './consumer.ts';
import { createRabbitDeadLetters } from './dead-letters/rabbit.ts';
import { assertEvents, EventInvalidError } from './envelope.ts';
import { handleMsMaxDefault } from './intake.ts';
import { defaultRetryPolicy, type RetryPolicy } from './ladder.ts';
import { eventBytesMax } from './message.ts';
import { createPublisher } from './publisher.ts';
import { declareExchange, namesIn, namespaceDefault, type QueueLimits } from './topology.ts';

export interface RabbitBusOptions {
  url: string;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  /** Goes before the names of the exchange and, unless it is the default, of the queues. */
  namespace?: string;
  retry?: RetryPolicy;
  handleMsMax?: number;
  unconfirmedMax?: number;
  /** How long `publish` waits for a broker that is away or blocked, and for its confirms. */
  publishMsMax?: number;
  deliveryLimit?: number;
  queueLengthMax?: number;
}

const unconfirmedMaxDefault = 1_024;
const publishMsMaxDefault = 5_000;
// Restarts of consumers count as deliveries: enough for many of those, few for one that kills them.
const deliveryLimitDefault = 20;
// About a million events. Far above what a healthy consumer leaves waiting, since a full queue holds up
// what its publishers tell everybody else.
const queueLengthMaxDefault = 1_000_000;
const queueBytesMax = 1024 ** 3;
const subscribeMsMax = 5_000;
const pingMsMax = 1_000;

/**
 * The bus on RabbitMQ. Publishing and consuming have a connection each: a broker under a resource
 * alarm stops reading from publishers, and acknowledgements must not wait behind them. Both
 * connections come back by themselves, with channels, topology and consumers. It may be created,
 * subscribed to and closed while the broker is away.
 */
export function createRabbitBus(options: RabbitBusOptions): OperableBus {
  const { url, clock, random, log, metrics, retry = defaultRetryPolicy } = options;
  const names = namesIn(options.namespace ?? namespaceDefault);
  const limits: QueueLimits = {
    retry,
    deliveryLimit: options.deliveryLimit ?? deliveryLimitDefault,
    queueLengthMax: options.queueLengthMax ?? queueLengthMaxDefault,
    queueBytesMax,
  };
  const consumers = new Set<Consumer>();
  let closed = false;
  let control: Channel | undefined;
  let consuming: ChannelModel | undefined;
  let nextBegin = Promise.withResolvers<void>();

  const publisher = createPublisher({
    names,
    clock,
    log,
    metrics,
    unconfirmedMax: options.unconfirmedMax ?? unconfirmedMaxDefault,
    sendMsMax: options.publishMsMax ?? publishMsMaxDefault,
  });
  const parts = { url, clock, random, log };
  const publishConnection = createConnection({
    ...parts,
    name: `${names.exchange} publish`,
    begin: publisher.begin,
    end: publisher.end,
  });
  const consumeConnection = createConnection({
    ...parts,
    name: `${names.exchange} consume`,
    begin: beginConsuming,
    end: endConsuming,
  });
  metrics.gauge('bus_connected', () => Number(publishConnection.up()), { role: 'publish' });
  metrics.gauge('bus_connected', () => Number(consumeConnection.up()), { role: 'consume' });

  const dead = createRabbitDeadLetters({ url, names, clock, log, send: publisher.send });

  return {
    publish,
    subscribe,
    deadLetters,
    walkDeadLetters: dead.walk,
    queueCounts: dead.counts,
    ping,
    close,
  };

  async function publish(events: Parameters<Bus['publish']>[0]): Promise<void> {
    assertEvents(events);
    const messages = packEvents(names.exchange, events);
    const large = messages.find(({ content }) => content.length > eventBytesMax);
    if (large !== undefined)
      throw new EventInvalidError(`${large.routingKey}: larger than ${eventBytesMax} bytes`);
    await publisher.send(messages);
    metrics.count('bus_published_total', {}, events.length);
  }

  async function subscribe<T extends EventType>(subscription: Subscription<T>): Promise<() => Promise<void>> {
    assertOpen();
    const consumer = createConsumer({
      subscription,
      names,
      limits,
      clock,
      random,
      log,
      metrics,
      handleMsMax: options.handleMsMax ?? handleMsMaxDefault,
      send: (message) => publisher.send([message]),
      broken: consumeConnection.reset,
    });
    const leave = () => {
      consumers.delete(consumer);
      return consumer.stop();
    };
    consumers.add(consumer);
    try {
      await begin(consumer, subscription.queue);
    } catch (error) {
      await leave();
      throw error;
    }
    return leave;
  }

  /** Waits for a broker that is away, but not for ever: the consumer begins when it is back. */
  async function begin(consumer: Consumer, queue: string): Promise<void> {
    const model = consuming;
    if (model !== undefined) {
      try {
        return await consumer.begin(model);
      } catch (error) {
        // The broker is there and refuses: the queue exists with other arguments.
        if (model === consuming) throw error;
      }
    }
    await within(clock, subscribeMsMax, nextBegin.promise);
    if (consuming === undefined)
      log.warn({ queue }, 'the broker is away; the consumer begins when it is back');
  }

  async function beginConsuming(model: ChannelModel): Promise<void> {
    const opened = await model.createChannel();
    opened.on('error', (error) => log.warn({ err: error }, 'the control channel failed'));
    opened.on('close', () => {
      if (control === opened) consumeConnection.reset('the control channel was closed');
    });
    await declareExchange(opened, names);
    control = opened;
    consuming = model;
    await Promise.all([...consumers].map((consumer) => consumer.begin(model)));
    nextBegin.resolve();
    nextBegin = Promise.withResolvers();
  }

  function endConsuming(): void {
    control = undefined;
    consuming = undefined;
    for (const consumer of consumers) consumer.end();
  }

  async function deadLetters(queue: string): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = [];
    await dead.walk(queue, async (found) => {
      letters.push(...found);
      return { verdicts: [], enough: false };
    });
    return letters;
  }

  async function ping(): Promise<void> {
    assertOpen();
    if (control === undefined || !publishConnection.up()) throw away();
    // Asked on the consuming connection, since the other is deaf during a resource alarm.
    const answer = control.checkExchange(names.exchange);
    if ((await within(clock, pingMsMax, answer)) === 'late') throw away();
  }

  async function close(): Promise<void> {
    if (closed) return;
    closed = true;
    await Promise.all([...consumers].map((consumer) => consumer.stop()));
    control = undefined;
    publisher.close();
    await Promise.all([publishConnection.close(), consumeConnection.close()]);
  }

  function assertOpen(): void {
    if (closed) throw fault('service.unavailable', { detail: 'the bus is closed' });
  }
}

const away = (cause?: unknown) =>
  fault('service.unavailable', { detail: 'the message broker is away', retryAfterSeconds: 1, cause });
