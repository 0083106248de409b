import { type ConfirmChannel, connect } from 'amqplib';
import { sampleEvent } from './sample.ts';

export interface FlowLimits {
  /** Events in flight: published, and their effect not yet visible. */
  inFlightMax: number;
  /** Events published and not yet confirmed. */
  unconfirmedMax: number;
  prefetch: number;
}

export interface EventLoad {
  /** Publishes for `seconds`, then waits until every event has arrived. Returns the number of events. */
  run(seconds: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * The speed of amqplib alone with the same durability: persistent messages of the same size go through a topic
 * exchange into a quorum queue with the same arguments, with confirms; each is parsed and acknowledged. It has
 * no outbox, inbox, effect, validation, headers or reconnects.
 */
export async function createBaseline(
  url: string,
  queueArguments: Record<string, unknown>,
  limits: FlowLimits,
): Promise<EventLoad> {
  const [exchange, queue] = ['bench.bare', 'bench.bare.listener'];
  const [publishing, consuming] = [await connect(url), await connect(url)];
  const publisher: ConfirmChannel = await publishing.createConfirmChannel();
  const consumer = await consuming.createChannel();
  await consumer.assertExchange(exchange, 'topic', { durable: true });
  await consumer.assertQueue(queue, { durable: true, arguments: queueArguments });
  await consumer.bindQueue(queue, exchange, 'trip.requested.v1');
  await consumer.prefetch(limits.prefetch);
  let unconfirmed = 0;
  let inFlight = 0;
  let wake = () => undefined;
  await consumer.consume(queue, (message) => {
    if (message === null) return;
    JSON.parse(message.content.toString());
    consumer.ack(message);
    inFlight--;
    wake();
  });

  return {
    async run(seconds) {
      const endMs = performance.now() + seconds * 1000;
      let sent = 0;
      while (performance.now() < endMs) {
        if (unconfirmed < limits.unconfirmedMax && inFlight < limits.inFlightMax) {
          publishNext();
          sent++;
        } else await waitForProgress();
      }
      while (inFlight > 0 || unconfirmed > 0) await waitForProgress();
      return sent;
    },
    async close() {
      await Promise.all([publishing.close(), consuming.close()]);
    },
  };

  function publishNext(): void {
    unconfirmed++;
    inFlight++;
    const content = Buffer.from(JSON.stringify(sampleEvent()));
    const options = { persistent: true, contentType: 'application/json' };
    publisher.publish(exchange, 'trip.requested.v1', content, options, (error: unknown) => {
      if (error) throw error;
      unconfirmed--;
      wake();
    });
  }

  function waitForProgress(): Promise<void> {
    return new Promise((resolve) => {
      wake = () => void resolve();
    });
  }
}
