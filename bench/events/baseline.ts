import { type ConfirmChannel, connect } from 'amqplib';
import { sampleEvent } from './sample.ts';

export interface FlowLimits {
  /** Events on their way in all: told, and their effect not yet there. */
  inFlightMax: number;
  /** Published and not confirmed. */
  unconfirmedMax: number;
  prefetch: number;
}

export interface EventLoad {
  /** Sends for so many seconds, then waits until all has arrived. Gives how many it was. */
  run(seconds: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * What amqplib can do with nothing around it, at the same durability: persistent messages of the same
 * size through a topic exchange into a quorum queue with the same arguments, confirmed; each parsed
 * and acknowledged. No outbox, no inbox, no effect, no validation, no headers, no reconnecting.
 */
export async function createBaseline(
  url: string,
  queueArguments: Record<string, unknown>,
  windows: FlowLimits,
): Promise<EventLoad> {
  const [exchange, queue] = ['bench.bare', 'bench.bare.listener'];
  const [publishing, consuming] = [await connect(url), await connect(url)];
  const publisher: ConfirmChannel = await publishing.createConfirmChannel();
  const consumer = await consuming.createChannel();
  await consumer.assertExchange(exchange, 'topic', { durable: true });
  await consumer.assertQueue(queue, { durable: true, arguments: queueArguments });
  await consumer.bindQueue(queue, exchange, 'trip.requested.v1');
  await consumer.prefetch(windows.prefetch);
  let unconfirmed = 0;
  let underWay = 0;
  let wake = () => undefined;
  await consumer.consume(queue, (message) => {
    if (message === null) return;
    JSON.parse(message.content.toString());
    consumer.ack(message);
    underWay--;
    wake();
  });

  return {
    async run(seconds) {
      const endMs = performance.now() + seconds * 1000;
      let sent = 0;
      while (performance.now() < endMs) {
        if (unconfirmed < windows.unconfirmedMax && underWay < windows.inFlightMax) {
          publishOne();
          sent++;
        } else await change();
      }
      while (underWay > 0 || unconfirmed > 0) await change();
      return sent;
    },
    async close() {
      await Promise.all([publishing.close(), consuming.close()]);
    },
  };

  function publishOne(): void {
    unconfirmed++;
    underWay++;
    const content = Buffer.from(JSON.stringify(sampleEvent()));
    const options = { persistent: true, contentType: 'application/json' };
    publisher.publish(exchange, 'trip.requested.v1', content, options, (error: unknown) => {
      if (error) throw error;
      unconfirmed--;
      wake();
    });
  }

  function change(): Promise<void> {
    return new Promise((resolve) => {
      wake = () => void resolve();
    });
  }
}
