import { testRabbitmqNamespace } from '@testing/rabbitmq.ts';
import { connect } from 'amqplib';
import { systemClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { systemRandom } from '../random.ts';
import { busContract } from './bus.contract.ts';
import { createRabbitBus } from './rabbit.ts';
import { createBrokerNames, queueNamesOf } from './topology.ts';

const log = createLog('silent');

busContract('the RabbitMQ bus', async (retry) => {
  const { url, prefix } = testRabbitmqNamespace();
  const namespace = prefix.slice(0, -1);
  const bus = createRabbitBus({
    url,
    namespace,
    retry,
    clock: systemClock,
    random: systemRandom,
    log,
    metrics: createMetrics(),
  });
  return {
    bus,
    async cleanup() {
      const model = await connect(url);
      const channel = await model.createChannel();
      const names = createBrokerNames(namespace);
      for (const queue of ['test.listener', 'test.first', 'test.second'])
        for (const name of queueNamesOf(names, queue, retry)) await channel.deleteQueue(name);
      await channel.deleteExchange(names.exchange);
      await model.close();
    },
  };
});
