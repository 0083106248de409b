import { expect, test } from 'bun:test';
import { sampleTripEvent } from '@testing/events.ts';
import { testRabbitmqNamespace } from '@testing/rabbitmq.ts';
import { until } from '@testing/until.ts';
import { connect } from 'amqplib';
import { createTcpProxy } from '../../../tools/faults/tcp-proxy.ts';
import { systemClock } from '../../clock.ts';
import { createLog } from '../../log.ts';
import { createMetrics } from '../../metrics.ts';
import { systemRandom } from '../../random.ts';
import { encodeEvent } from '../message.ts';
import { createRabbitBus } from '../rabbit.ts';
import type { RetryPolicy } from '../retry-policy.ts';
import { createBrokerNames, queueNamesOf } from '../topology.ts';
import { deadLettersContract } from './dead-letters.contract.ts';
import { scanBatchMax, scannedDeadLettersMax } from './limits.ts';
import { listDeadLetters, redriveDeadLetters } from './operations.ts';

const retry: RetryPolicy = { delaysMs: [20], attemptsMax: 1 };
const queue = 'test.listener';

function makeBus(url: string, namespace: string) {
  const log = createLog('silent');
  const parts = { clock: systemClock, random: systemRandom, log, metrics: createMetrics() };
  return createRabbitBus({ url, namespace, retry, ...parts });
}

async function cleanup(url: string, namespace: string): Promise<void> {
  const model = await connect(url);
  const channel = await model.createChannel();
  const names = createBrokerNames(namespace);
  for (const subscribed of [queue, 'test.second'])
    for (const name of queueNamesOf(names, subscribed, retry)) await channel.deleteQueue(name);
  await channel.deleteExchange(names.exchange);
  await model.close();
}

deadLettersContract('dead letters of the RabbitMQ bus', async () => {
  const { url, prefix } = testRabbitmqNamespace();
  const namespace = prefix.slice(0, -1);
  return { bus: makeBus(url, namespace), cleanup: () => cleanup(url, namespace) };
});

test('a queue longer than one scan is redriven in several scans, each dead letter once', async () => {
  const { url, prefix } = testRabbitmqNamespace();
  const namespace = prefix.slice(0, -1);
  const names = createBrokerNames(namespace);
  const bus = makeBus(url, namespace);
  const handled: string[] = [];
  const model = await connect(url);
  try {
    await bus.subscribe({
      queue,
      events: ['trip.requested.v1'],
      prefetch: 100,
      handle: async ({ event }) => {
        handled.push(event.id);
        return { kind: 'done' };
      },
    });
    const events = Array.from({ length: scannedDeadLettersMax + 10 }, () => sampleTripEvent());
    const channel = await model.createConfirmChannel();
    for (const event of events) {
      const { content, options } = encodeEvent(names.exchange, event);
      channel.publish('', names.deadLetterQueue(queue), content, options);
    }
    await channel.waitForConfirms();
    const filter = { ids: [] };
    const list = await listDeadLetters(bus, queue, { filter, after: undefined, limit: 5 });
    expect(list.total).toBe(events.length);
    expect(list.searched).toBeLessThanOrEqual(scannedDeadLettersMax);
    expect(await redriveDeadLetters(bus, queue, filter, 5, async () => undefined)).toEqual({
      deadLetters: [],
      hasMore: true,
    });
    let redriven = 0;
    for (let hasMore = true; hasMore; ) {
      const settled = await redriveDeadLetters(bus, queue, {}, 1_000, async () => undefined);
      redriven += settled.deadLetters.length;
      hasMore = settled.hasMore;
    }
    expect(redriven).toBe(events.length);
    await until(() => handled.length >= events.length);
    expect(handled.toSorted()).toEqual(events.map(({ id }): string => id).toSorted());
  } finally {
    await model.close();
    await bus.close();
    await cleanup(url, namespace);
  }
}, 40_000);

test('a redrive whose connection is lost loses no dead letter and duplicates at most one batch', async () => {
  const { url, prefix } = testRabbitmqNamespace();
  const namespace = prefix.slice(0, -1);
  const proxy = await createTcpProxy(url);
  const direct = makeBus(url, namespace);
  const bus = makeBus(proxy.rewriteUrl(url), namespace);
  const handled: string[] = [];
  let isHealthy = false;
  try {
    await direct.subscribe({
      queue,
      events: ['trip.requested.v1'],
      prefetch: 20,
      handle: async ({ event }) => {
        if (!isHealthy) return { kind: 'reject', reason: 'not yet' };
        handled.push(event.id);
        return { kind: 'done' };
      },
    });
    const events = Array.from({ length: 120 }, () => sampleTripEvent());
    await direct.publish(events);
    await until(async () => (await direct.queueCounts(queue)).dead === events.length);
    isHealthy = true;
    // The connection is lost between the visit of the second batch and its confirms.
    let batches = 0;
    const interrupted = redriveDeadLetters(bus, queue, {}, 1_000, async () => {
      if (++batches === 2) proxy.closeConnections();
    });
    await expect(interrupted).rejects.toThrow('service.unavailable');
    await until(() => bus.ping().then(() => true), { timeoutMs: 10_000 });
    await until(
      async () => (await redriveDeadLetters(bus, queue, {}, 1_000, async () => undefined)) !== undefined,
    );
    const ids = new Set<string>(events.map(({ id }) => id));
    await until(() => new Set(handled).size === ids.size, { timeoutMs: 10_000 });
    expect(new Set(handled)).toEqual(ids);
    expect(handled.length).toBeLessThanOrEqual(ids.size + scanBatchMax);
  } finally {
    await bus.close();
    await direct.close();
    await proxy.close();
    await cleanup(url, namespace);
  }
}, 40_000);
