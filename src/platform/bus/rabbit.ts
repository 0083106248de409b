import type { EventType } from '@contracts/events.ts';
import type { Channel, ChannelModel } from 'amqplib';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { problem } from '../problems.ts';
import type { Random } from '../random.ts';
import { withTimeout } from '../with-timeout.ts';
import { createBrokerConnection } from './broker-connection.ts';
import type { Bus, OperableBus, Subscription } from './bus.ts';
import { createConsumerGroup } from './consumer-group.ts';
import { collectDeadLetters } from './dead-letters/operations.ts';
import { createRabbitDeadLetters } from './dead-letters/rabbit.ts';
import { assertEvents, EventInvalidError } from './envelope.ts';
import { packEvents } from './event-batch.ts';
import { handlerTimeoutMsDefault } from './handler-runner.ts';
import { eventBytesMax } from './message.ts';
import { createPublisher } from './publisher.ts';
import { createQueueConsumer } from './queue-consumer.ts';
import { defaultRetryPolicy, type RetryPolicy } from './retry-policy.ts';
import { createBrokerNames, declareExchange, namespaceDefault, type QueueLimits } from './topology.ts';

export interface RabbitBusOptions {
  url: string;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  /** Prefix of the exchange's name and, unless it is the default, of the queues' names. */
  namespace?: string;
  /** For subscriptions without a policy of their own. */
  retry?: RetryPolicy;
  handlerTimeoutMs?: number;
  unconfirmedMax?: number;
  /** How long `publish` waits for confirms, and for a broker that is unavailable or blocks publishing. */
  publishTimeoutMs?: number;
  deliveryLimit?: number;
  queueLengthMax?: number;
}

const unconfirmedMaxDefault = 1_024;
const publishTimeoutMsDefault = 5_000;
// Restarts of consumers count as deliveries: enough for many restarts, few for an event that crashes consumers.
const deliveryLimitDefault = 20;
// About a million events, far more than a healthy consumer leaves waiting: a full queue also delays what
// its publishers send to all other queues.
const queueLengthMaxDefault = 1_000_000;
const queueBytesMax = 1024 ** 3;
const pingTimeoutMs = 1_000;

/**
 * The bus on RabbitMQ, with one topic exchange and a quorum queue for each subscription.
 *
 * Publishing and consuming use one connection each: under a resource alarm the broker stops reading from
 * connections that publish, and acknowledgements must not wait behind that. Both connections reconnect
 * by themselves and restore channels, topology and consumers. The bus may be created, subscribed to and
 * closed while the broker is unavailable.
 */
export function createRabbitBus(options: RabbitBusOptions): OperableBus {
  const { url, clock, random, log, metrics, retry = defaultRetryPolicy } = options;
  const names = createBrokerNames(options.namespace ?? namespaceDefault);
  const limits = queueLimitsOf(options);
  const consumers = createConsumerGroup({ clock, log });
  let isClosed = false;
  let controlChannel: Channel | undefined;

  const publisher = createPublisher({
    ...{ names, clock, log, metrics },
    unconfirmedMax: options.unconfirmedMax ?? unconfirmedMaxDefault,
    sendTimeoutMs: options.publishTimeoutMs ?? publishTimeoutMsDefault,
  });
  const publishConnection = createBrokerConnection({
    ...{ url, clock, random, log },
    name: `${names.exchange} publish`,
    onConnected: publisher.attach,
    onDisconnected: publisher.detach,
  });
  const consumeConnection = createBrokerConnection({
    ...{ url, clock, random, log },
    name: `${names.exchange} consume`,
    onConnected: startConsuming,
    onDisconnected() {
      controlChannel = undefined;
      consumers.detach();
    },
  });
  metrics.gauge('bus_connected', () => Number(publishConnection.isConnected()), { role: 'publish' });
  metrics.gauge('bus_connected', () => Number(consumeConnection.isConnected()), { role: 'consume' });

  const rabbitDeadLetters = createRabbitDeadLetters({ url, names, clock, log, send: publisher.send });

  return {
    publish,
    subscribe,
    deadLetters: (queue) => collectDeadLetters({ scanDeadLetters: rabbitDeadLetters.scan }, queue),
    scanDeadLetters: rabbitDeadLetters.scan,
    queueCounts: rabbitDeadLetters.counts,
    ping,
    close,
  };

  async function publish(events: Parameters<Bus['publish']>[0]): Promise<void> {
    assertEvents(events);
    const messages = packEvents(names.exchange, events);
    const tooLarge = messages.find(({ content }) => content.length > eventBytesMax);
    if (tooLarge !== undefined)
      throw new EventInvalidError(`${tooLarge.routingKey}: larger than ${eventBytesMax} bytes`);
    await publisher.send(messages);
    metrics.count('bus_published_total', {}, events.length);
  }

  async function subscribe<T extends EventType>(subscription: Subscription<T>): Promise<() => Promise<void>> {
    assertOpen();
    const consumer = createQueueConsumer({
      ...{ subscription, names, limits, clock, random, log, metrics },
      handlerTimeoutMs: options.handlerTimeoutMs ?? handlerTimeoutMsDefault,
      retry: subscription.retry ?? retry,
      send: (message) => publisher.send([message]),
      onChannelLost: consumeConnection.reset,
    });
    return consumers.add(consumer, subscription.queue);
  }

  async function startConsuming(model: ChannelModel): Promise<void> {
    const channel = await model.createChannel();
    channel.on('error', (error) => log.warn({ err: error }, 'control channel failed'));
    channel.on('close', () => {
      if (controlChannel === channel) consumeConnection.reset('the control channel was closed');
    });
    await declareExchange(channel, names);
    controlChannel = channel;
    await consumers.attach(model);
  }

  async function ping(): Promise<void> {
    assertOpen();
    if (controlChannel === undefined || !publishConnection.isConnected()) throw brokerUnavailable();
    // Asked on the consuming connection, because the broker reads nothing from the other one during an alarm.
    const answer = controlChannel.checkExchange(names.exchange);
    if ((await withTimeout(clock, pingTimeoutMs, answer)) === 'late') throw brokerUnavailable();
  }

  async function close(): Promise<void> {
    if (isClosed) return;
    isClosed = true;
    await consumers.stop();
    controlChannel = undefined;
    publisher.close();
    await Promise.all([publishConnection.close(), consumeConnection.close()]);
  }

  function assertOpen(): void {
    if (isClosed) throw problem('service.unavailable', { detail: 'the bus is closed' });
  }
}

const queueLimitsOf = (options: RabbitBusOptions): QueueLimits => ({
  deliveryLimit: options.deliveryLimit ?? deliveryLimitDefault,
  queueLengthMax: options.queueLengthMax ?? queueLengthMaxDefault,
  queueBytesMax,
});

const brokerUnavailable = () =>
  problem('service.unavailable', { detail: 'the message broker is unavailable', retryAfterSeconds: 1 });
