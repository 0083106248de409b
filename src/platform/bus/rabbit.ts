import type { EventType } from '@contracts/events.ts';
import type { Channel, ChannelModel } from 'amqplib';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { problem } from '../problems.ts';
import type { Random } from '../random.ts';
import { withTimeout } from '../with-timeout.ts';
import { createBrokerConnection } from './broker-connection.ts';
import type { Bus, DeadLetter, OperableBus, Subscription } from './bus.ts';
import { createRabbitDeadLetters } from './dead-letters/rabbit.ts';
import { assertEvents, EventInvalidError } from './envelope.ts';
import { packEvents } from './event-batch.ts';
import { handlerTimeoutMsDefault } from './handler-runner.ts';
import { eventBytesMax } from './message.ts';
import { createPublisher } from './publisher.ts';
import { createQueueConsumer, type QueueConsumer } from './queue-consumer.ts';
import { defaultRetryPolicy, type RetryPolicy } from './retry-policy.ts';
import { createBrokerNames, declareExchange, namespaceDefault, type QueueLimits } from './topology.ts';

export interface RabbitBusOptions {
  url: string;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  /** Goes before the names of the exchange and, unless it is the default, of the queues. */
  namespace?: string;
  retry?: RetryPolicy;
  handlerTimeoutMs?: number;
  unconfirmedMax?: number;
  /** How long `publish` waits for a broker that is away or blocked, and for its confirms. */
  publishTimeoutMs?: number;
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
  const names = createBrokerNames(options.namespace ?? namespaceDefault);
  const limits: QueueLimits = {
    retry,
    deliveryLimit: options.deliveryLimit ?? deliveryLimitDefault,
    queueLengthMax: options.queueLengthMax ?? queueLengthMaxDefault,
    queueBytesMax,
  };
  const consumers = new Set<QueueConsumer>();
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
    sendTimeoutMs: options.publishTimeoutMs ?? publishMsMaxDefault,
  });
  const parts = { url, clock, random, log };
  const publishConnection = createBrokerConnection({
    ...parts,
    name: `${names.exchange} publish`,
    onConnected: publisher.attach,
    onDisconnected: publisher.detach,
  });
  const consumeConnection = createBrokerConnection({
    ...parts,
    name: `${names.exchange} consume`,
    onConnected: beginConsuming,
    onDisconnected: endConsuming,
  });
  metrics.gauge('bus_connected', () => Number(publishConnection.isConnected()), { role: 'publish' });
  metrics.gauge('bus_connected', () => Number(consumeConnection.isConnected()), { role: 'consume' });

  const dead = createRabbitDeadLetters({ url, names, clock, log, send: publisher.send });

  return {
    publish,
    subscribe,
    deadLetters,
    scanDeadLetters: dead.walk,
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
    const consumer = createQueueConsumer({
      subscription,
      names,
      limits,
      clock,
      random,
      log,
      metrics,
      handlerTimeoutMs: options.handlerTimeoutMs ?? handlerTimeoutMsDefault,
      send: (message) => publisher.send([message]),
      onChannelLost: consumeConnection.reset,
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
  async function begin(consumer: QueueConsumer, queue: string): Promise<void> {
    const model = consuming;
    if (model !== undefined) {
      try {
        return await consumer.attach(model);
      } catch (error) {
        // The broker is there and refuses: the queue exists with other arguments.
        if (model === consuming) throw error;
      }
    }
    await withTimeout(clock, subscribeMsMax, nextBegin.promise);
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
    await Promise.all([...consumers].map((consumer) => consumer.attach(model)));
    nextBegin.resolve();
    nextBegin = Promise.withResolvers();
  }

  function endConsuming(): void {
    control = undefined;
    consuming = undefined;
    for (const consumer of consumers) consumer.detach();
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
    if (control === undefined || !publishConnection.isConnected()) throw away();
    // Asked on the consuming connection, since the other is deaf during a resource alarm.
    const answer = control.checkExchange(names.exchange);
    if ((await withTimeout(clock, pingMsMax, answer)) === 'late') throw away();
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
    if (closed) throw problem('service.unavailable', { detail: 'the bus is closed' });
  }
}

const away = (cause?: unknown) =>
  problem('service.unavailable', { detail: 'the message broker is away', retryAfterSeconds: 1, cause });
