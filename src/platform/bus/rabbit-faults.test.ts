import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { DomainEvent } from '@contracts/events.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { testRabbitmqNamespace } from '@testing/rabbitmq.ts';
import { until } from '@testing/until.ts';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { createTcpProxy, type TcpProxy } from '../../tools/faults/tcp-proxy.ts';
import { systemClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { systemRandom } from '../random.ts';
import { type Bus, done, type EventDelivery } from './bus.ts';
import { encodeEvent, eventBytesMax } from './message.ts';
import { createRabbitBus, type RabbitBusOptions } from './rabbit.ts';
import { type BrokerNames, createBrokerNames, queueNamesOf } from './topology.ts';

type Requested = 'trip.requested.v1';
const queue = 'test.listener';
const retry = { delaysMs: [20], attemptsMax: 3 };

let names: BrokerNames;
let url: string;
let namespace: string;
let proxy: TcpProxy;
let bus: Bus;
let metrics: Metrics;
/** A direct connection to the broker, not through the proxy. */
let model: ChannelModel;
let channel: Channel;
let received: DomainEvent<Requested>[];

beforeEach(async () => {
  const testNamespace = testRabbitmqNamespace();
  url = testNamespace.url;
  namespace = testNamespace.prefix.slice(0, -1);
  names = createBrokerNames(namespace);
  proxy = await createTcpProxy(url);
  model = await connect(url);
  channel = await model.createChannel();
  received = [];
  bus = makeBus();
});

afterEach(async () => {
  await bus.close();
  await proxy.close();
  await removeAll();
  await model.close();
});

function makeBus(options: Partial<RabbitBusOptions> = {}): Bus {
  metrics = createMetrics();
  const log = createLog('silent');
  const parts = { clock: systemClock, random: systemRandom, log, metrics };
  return createRabbitBus({ url: proxy.rewriteUrl(url), namespace, retry, ...parts, ...options });
}

async function remakeBus(options: Partial<RabbitBusOptions>): Promise<void> {
  await bus.close();
  bus = makeBus(options);
}

async function removeAll(): Promise<void> {
  channel = await model.createChannel();
  for (const name of queueNamesOf(names, queue, retry)) await channel.deleteQueue(name);
  await channel.deleteExchange(names.exchange);
}

const listen = (
  handle: (delivery: EventDelivery<Requested>) => Promise<typeof done> = async ({ event }) => {
    received.push(event);
    return done;
  },
) => bus.subscribe({ queue, events: ['trip.requested.v1'], prefetch: 20, handle });

const waitForBroker = () =>
  until(() => bus.ping().then(() => true), { timeoutMs: 20_000, describe: 'the broker' });
const receivedIds = () => new Set(received.map(({ id }) => id));

describe('a lost connection', () => {
  test('loses no event while publishing and consuming, and keeps the order of each subject', async () => {
    const events = Array.from({ length: 400 }, (_, at) =>
      sampleTripEvent({ subject: `subject-${at % 5}`, version: at + 1 }),
    );
    await listen();
    await waitForBroker();
    await publishAll(events, 20);
    await until(() => receivedIds().size === events.length, { timeoutMs: 20_000 });
    for (let subject = 0; subject < 5; subject++) {
      const seen = received.filter((event) => event.subject === `subject-${subject}`);
      const firstTimes = [...new Set(seen.map(({ data }) => data.version))];
      expect(firstTimes).toEqual(firstTimes.toSorted((a, b) => a - b));
    }
  }, 40_000);

  /** Publishes like the relay: in order, each batch again until it is confirmed. Every fourth attempt loses its connection. */
  async function publishAll(events: DomainEvent[], batchSize: number): Promise<void> {
    for (let at = 0, tries = 1; at < events.length; tries++) {
      const publishing = bus.publish(events.slice(at, at + batchSize)).then(
        () => true,
        () => false,
      );
      if (tries % 4 === 0) proxy.closeConnections();
      if (await publishing) at += batchSize;
    }
  }

  test('redelivers an event that was being handled, after its handler ended', async () => {
    const gate = Promise.withResolvers<void>();
    const attempts: number[] = [];
    let active = 0;
    let overlapped = false;
    await listen(async ({ attempt }) => {
      overlapped ||= ++active > 1;
      attempts.push(attempt);
      if (attempts.length === 1) await gate.promise;
      active--;
      return done;
    });
    await waitForBroker();
    await bus.publish([sampleTripEvent()]);
    await until(() => attempts.length === 1);
    proxy.closeConnections();
    await waitForBroker();
    gate.resolve();
    await until(() => attempts.length === 2);
    expect(attempts).toEqual([1, 2]);
    expect(overlapped).toBe(false);
  }, 20_000);

  test('is waited for when the broker is unavailable at the start', async () => {
    proxy.refuseConnections();
    await remakeBus({ publishTimeoutMs: 100 });
    const listening = listen();
    await expect(bus.ping()).rejects.toThrow('service.unavailable');
    await expect(bus.publish([sampleTripEvent()])).rejects.toThrow('service.unavailable');
    proxy.resume();
    await listening;
    await waitForBroker();
    await bus.publish([sampleTripEvent()]);
    await until(() => received.length === 1);
  }, 20_000);
});

describe('a silent connection', () => {
  test('makes publishing reject within its timeout with bounded messages in flight, and publishing works again afterwards', async () => {
    await remakeBus({ publishTimeoutMs: 200, unconfirmedMax: 8 });
    await listen();
    await waitForBroker();
    proxy.pause();
    const events = Array.from({ length: 50 }, () => sampleTripEvent());
    const publishing = Promise.all(events.map((event) => bus.publish([event])));
    await expect(publishing).rejects.toThrow(/not confirmed in 200 ms/);
    expect(metrics.text()).toContain('bus_unconfirmed 8\n');
    await expect(bus.ping()).rejects.toThrow('service.unavailable');
    proxy.resume();
    await waitForBroker();
    await until(() => bus.publish(events).then(() => true));
    await until(() => receivedIds().size === events.length);
  }, 20_000);
});

describe('a broker under a resource alarm', () => {
  // connection.blocked and connection.unblocked, as frames of channel 0.
  const frame = (...payload: number[]) =>
    Uint8Array.from([1, 0, 0, 0, 0, 0, payload.length, ...payload, 0xce]);
  const blocked = frame(0, 10, 0, 60, 1, 0x78);
  const unblocked = frame(0, 10, 0, 61);

  test('pauses publishing until the alarm ends, and rejects what waits too long', async () => {
    await remakeBus({ publishTimeoutMs: 300 });
    await listen();
    await waitForBroker();
    proxy.injectToClients(blocked);
    await until(() => metrics.text().includes('bus_blocked 1'));
    await expect(bus.publish([sampleTripEvent()])).rejects.toThrow('service.unavailable');
    expect(received).toEqual([]);
    const waiting = bus.publish([sampleTripEvent()]);
    proxy.injectToClients(unblocked);
    await waiting;
    await until(() => received.length === 1);
  }, 20_000);
});

describe('a message that can never be handled becomes a dead letter with its reason:', () => {
  const whole = () => encodeEvent(names.exchange, sampleTripEvent());
  type Message = ReturnType<typeof whole>;
  const without = (name: string) => (message: Message) => {
    delete message.options.headers[name];
  };
  const withHeader = (name: string, value: string) => (message: Message) => {
    message.options.headers[name] = value;
  };
  const withBody = (body: string) => (message: Message) => {
    message.content = Buffer.from(body);
  };
  const cases: [string, (message: Message) => void, RegExp][] = [
    ['a body that is not JSON', withBody('{"trip'), /not JSON/],
    ['an empty body', withBody(''), /not JSON/],
    ['a body of the wrong shape', withBody('{"tripId":7}'), /^\/data\//],
    ['an unknown type', withHeader('ce-type', 'trip.teleported.v1'), /unknown type trip.teleported.v1/],
    ['an unknown version', withHeader('ce-type', 'trip.requested.v9'), /unknown type trip.requested.v9/],
    ['no id', without('ce-id'), /^\/id/],
    ['an invalid id', withHeader('ce-id', "'; drop table trips"), /^\/id/],
    ['an invalid time', withHeader('ce-time', 'yesterday'), /^\/time/],
    ['a field of a later schema instead of ours', withBody('{"trip":{"id":7},"version":2}'), /^\/data\//],
    ['no subject', without('ce-subject'), /^\/subject/],
    ['another spec version', withHeader('ce-specversion', '2.0'), /ce-specversion/],
    ['more bytes than an event may have', withBody(`"${'x'.repeat(eventBytesMax)}"`), /larger than/],
  ];

  test.each(cases)('%s', async (_, corrupt, reason) => {
    await listen();
    const message = whole();
    corrupt(message);
    channel.publish(names.exchange, 'trip.requested.v1', message.content, message.options);
    const [letter] = await until(async () => {
      const letters = await bus.deadLetters(queue);
      return letters.length === 1 && letters;
    });
    expect(letter?.reason).toMatch(reason);
    expect(letter?.attempts).toBe(1);
    const good = sampleTripEvent();
    await bus.publish([good]);
    await until(() => received.length === 1);
    expect(received).toEqual([good]);
  });

  test('no headers at all', async () => {
    await listen();
    channel.publish(names.exchange, 'trip.requested.v1', Buffer.from('hello'));
    const [letter] = await until(async () => {
      const letters = await bus.deadLetters(queue);
      return letters.length === 1 && letters;
    });
    expect(letter).toMatchObject({ queue, type: '', bytes: 5, body: 'hello' });
    expect(letter?.id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('a body of 10 MB', async () => {
    await listen();
    channel.publish(names.exchange, 'trip.requested.v1', Buffer.alloc(10_000_000, 0x20), whole().options);
    await until(async () => (await bus.deadLetters(queue)).length === 1, { timeoutMs: 20_000 });
  }, 20_000);
});

test('an event that crashes its consumers becomes a dead letter after the delivery limit', async () => {
  await remakeBus({ deliveryLimit: 2 });
  const stop = await listen();
  await stop();
  await waitForBroker();
  const event = sampleTripEvent();
  await bus.publish([event]);
  for (let deaths = 0; deaths < 3; deaths++) {
    const dying = await model.createChannel();
    await until(() => dying.get(names.queue(queue)), { describe: 'the event to come again' });
    await dying.close();
  }
  const [letter] = await until(async () => {
    const letters = await bus.deadLetters(queue);
    return letters.length === 1 && letters;
  });
  expect(letter).toMatchObject({ id: event.id, body: event, reason: 'the broker gave up: delivery_limit' });
});

describe('events of one message', () => {
  /** Publishes the events together while no consumer runs, so that they are one message. */
  async function publishTogether(events: DomainEvent[]): Promise<void> {
    const stop = await listen();
    await waitForBroker();
    await stop();
    await bus.publish(events);
    const { messageCount } = await channel.checkQueue(names.queue(queue));
    expect(messageCount).toBe(1);
  }
  const threeEvents = () => [sampleTripEvent(), sampleTripEvent(), sampleTripEvent()];

  test('fail on their own: the others are handled once, and the failed one is retried alone', async () => {
    const events = threeEvents();
    const failing = events[1]?.id;
    await publishTogether(events);
    const handled: string[] = [];
    await bus.subscribe({
      queue,
      events: ['trip.requested.v1'],
      prefetch: 20,
      async handle({ event, attempt }) {
        handled.push(`${event.id} ${attempt}`);
        return event.id === failing ? { kind: 'retry', reason: 'not now' } : done;
      },
    });
    const [letter, ...more] = await until(async () => {
      const letters = await bus.deadLetters(queue);
      return letters.length > 0 && letters;
    });
    expect(more).toEqual([]);
    expect(letter).toMatchObject({ id: failing, attempts: 3, reason: 'not now', body: events[1] });
    const expected = events.flatMap(({ id }) => (id === failing ? [1, 2, 3] : [1]).map((n) => `${id} ${n}`));
    expect(handled.toSorted()).toEqual(expected.toSorted());
    await until(async () => (await channel.checkQueue(names.queue(queue))).messageCount === 0);
  });

  test('are all redelivered when the connection is lost before the last of them is settled', async () => {
    const events = threeEvents();
    await publishTogether(events);
    const seen: string[] = [];
    const gate = Promise.withResolvers<void>();
    await listen(async ({ event }) => {
      seen.push(event.id);
      if (event.id === events[2]?.id) await gate.promise;
      return done;
    });
    await until(() => seen.length === 3);
    proxy.closeConnections();
    gate.resolve();
    await until(() => seen.length === 6, { timeoutMs: 20_000 });
    expect(seen.slice(3).toSorted()).toEqual(events.map(({ id }): string => id).toSorted());
  }, 20_000);

  test('are retried one by one when one of them crashes the consumers', async () => {
    await remakeBus({ deliveryLimit: 5 });
    const events = threeEvents();
    await publishTogether(events);
    for (let deaths = 0; deaths < 3; deaths++) {
      const dying = await model.createChannel();
      await until(() => dying.get(names.queue(queue)), { describe: 'the message to come again' });
      await dying.close();
    }
    await listen();
    await until(() => receivedIds().size === events.length);
    expect(received).toHaveLength(events.length);
    await until(async () => (await channel.checkQueue(names.queue(queue))).messageCount === 0);
  });
});

test('a subscription to a queue with other arguments rejects, and the bus keeps working', async () => {
  await channel.assertQueue(names.queue(queue), { durable: true });
  await waitForBroker();
  await expect(listen()).rejects.toThrow(/PRECONDITION/i);
  await bus.ping();
  await channel.deleteQueue(names.queue(queue));
  await listen();
  await bus.publish([sampleTripEvent()]);
  await until(() => received.length === 1);
});

test('a queue that is deleted while it is consumed is declared again', async () => {
  await listen();
  await waitForBroker();
  await channel.deleteQueue(names.queue(queue));
  await until(async () => {
    await bus.publish([sampleTripEvent()]);
    return received.length > 0;
  });
}, 20_000);

test('after close nothing keeps the process alive', async () => {
  const script = `
    import { createRabbitBus } from '${import.meta.dir}/rabbit.ts';
    import { systemClock as clock } from '${import.meta.dir}/../clock.ts';
    import { systemRandom as random } from '${import.meta.dir}/../random.ts';
    import { createLog } from '${import.meta.dir}/../log.ts';
    import { createMetrics } from '${import.meta.dir}/../metrics.ts';
    const retry = { delaysMs: [20], attemptsMax: 3 };
    const log = createLog('silent');
    const bus = createRabbitBus({
      url: process.env.URL, namespace: '${namespace}', retry, clock, random, log, metrics: createMetrics(),
    });
    await bus.subscribe({
      queue: '${queue}', events: ['trip.requested.v1'], prefetch: 1, handle: async () => ({ kind: 'done' }),
    });
    await bus.close();
    console.log('closed');`;
  const child = Bun.spawn([process.execPath, '-e', script], {
    cwd: import.meta.dir,
    env: { ...process.env, URL: proxy.rewriteUrl(url) },
    stdout: 'pipe',
    stderr: 'inherit',
  });
  expect(await child.exited).toBe(0);
  expect(await new Response(child.stdout).text()).toBe('closed\n');
}, 20_000);
