import { expect, test } from 'bun:test';
import { sampleTripEvent } from '@testing/events.ts';
import { createTcpProxy } from '@testing/proxy.ts';
import { testRabbitmqNamespace } from '@testing/rabbitmq.ts';
import { until } from '@testing/until.ts';
import { connect } from 'amqplib';
import { systemClock } from '../../clock.ts';
import { createLog } from '../../log.ts';
import { createMetrics } from '../../metrics.ts';
import { systemRandom } from '../../random.ts';
import type { RetryPolicy } from '../ladder.ts';
import { createRabbitBus } from '../rabbit.ts';
import { namesIn, queuesOf } from '../topology.ts';
import { deadLettersContract } from './contract.ts';
import { redriveDeadLetters } from './desk.ts';

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
  const names = namesIn(namespace);
  for (const name of [queue, 'test.second'])
    for (const each of queuesOf(names, name, retry)) await channel.deleteQueue(each);
  await channel.deleteExchange(names.exchange);
  await model.close();
}

deadLettersContract('dead letters of the bus on RabbitMQ', async () => {
  const { url, prefix } = testRabbitmqNamespace();
  const namespace = prefix.slice(0, -1);
  return { bus: makeBus(url, namespace), cleanup: () => cleanup(url, namespace) };
});

test('a redrive whose connection is cut loses no letter, and delivers some twice at worst', async () => {
  const { url, prefix } = testRabbitmqNamespace();
  const namespace = prefix.slice(0, -1);
  const proxy = await createTcpProxy(url);
  const direct = makeBus(url, namespace);
  const bus = makeBus(proxy.through(url), namespace);
  const handled: string[] = [];
  let healthy = false;
  try {
    await direct.subscribe({
      queue,
      events: ['trip.requested.v1'],
      prefetch: 20,
      handle: async ({ event }) => {
        if (!healthy) return { kind: 'reject', reason: 'not yet' };
        handled.push(event.id);
        return { kind: 'done' };
      },
    });
    const events = Array.from({ length: 120 }, () => sampleTripEvent());
    await direct.publish(events);
    await until(async () => (await direct.queueCounts(queue)).dead === events.length);
    healthy = true;
    // The second batch is cut off between its judgement and its confirms.
    let batches = 0;
    const cut = redriveDeadLetters(bus, queue, {}, 1_000, async () => {
      if (++batches === 2) proxy.cut();
    });
    await expect(cut).rejects.toThrow('service.unavailable');
    await until(() => bus.ping().then(() => true), { timeoutMs: 10_000 });
    await until(
      async () => (await redriveDeadLetters(bus, queue, {}, 1_000, async () => undefined)) !== undefined,
    );
    const ids = new Set<string>(events.map(({ id }) => id));
    await until(() => new Set(handled).size === ids.size, { timeoutMs: 10_000 });
    expect(new Set(handled)).toEqual(ids);
    expect(handled.length).toBeLessThanOrEqual(ids.size + 50);
  } finally {
    await bus.close();
    await direct.close();
    await proxy.close();
    await cleanup(url, namespace);
  }
}, 40_000);
