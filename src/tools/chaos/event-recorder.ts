import { unpackEvents } from '@platform/bus/event-batch.ts';
import { createBrokerNames, declareExchange, namespaceDefault } from '@platform/bus/topology.ts';
import { connect, type Message } from 'amqplib';
import type postgres from 'postgres';

/**
 * A queue of ours beside those of the services that gets every event, so that what the broker confirmed can
 * be held against what the databases committed.
 */
export interface EventRecorder {
  /** Takes all that was heard so far. */
  takeRecorded(): Promise<RecordedEvent[]>;
}

export interface RecordedEvent {
  id: string;
  type: string;
  subject: string;
  /** Of a trip; null for other events. */
  version: number | null;
}

const queue = 'chaos.everything';

export async function startEventRecorder(amqpUrl: string): Promise<EventRecorder> {
  const connection = await connect(amqpUrl);
  const channel = await connection.createChannel();
  const names = createBrokerNames(namespaceDefault);
  await declareExchange(channel, names);
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(queue, names.exchange, '#');
  await connection.close();

  return {
    async takeRecorded() {
      const reading = await connect(amqpUrl);
      const taking = await reading.createChannel();
      const { messageCount } = await taking.checkQueue(queue);
      const events: RecordedEvent[] = [];
      let messages = 0;
      const { promise: all, resolve } = Promise.withResolvers<void>();
      if (messageCount === 0) resolve();
      await taking.consume(
        queue,
        (message) => {
          if (message === null) return;
          events.push(...eventsOf(message));
          if (++messages === messageCount) resolve();
        },
        { noAck: true },
      );
      await all;
      await reading.close();
      return events;
    },
  };
}

function eventsOf(message: Message): RecordedEvent[] {
  return unpackEvents(message).map(({ result }) => {
    if (result.kind === 'invalid') throw new Error(`the services published a broken event: ${result.reason}`);
    const { id, type, subject, data } = result.event;
    return { id, type, subject, version: 'version' in data ? data.version : null };
  });
}

/** Each transition was told by exactly one event (which may have been heard several times), each event tells of one. */
export async function checkEvents(sql: postgres.Sql, heard: readonly RecordedEvent[]): Promise<string[]> {
  const events = [...new Map(heard.map((event) => [event.id, event])).values()];
  const trips = events.filter(({ type }) => type.startsWith('trip.'));
  const payments = events.filter(({ type }) => type.startsWith('payment.'));
  const rows = await sql<{ said: string }[]>`
    with heard as (
      select * from unnest(${trips.map(({ subject }) => subject)}::uuid[], ${trips.map(({ version }) => version)}::int[])
        as h (trip_id, version)),
    told as (select trip_id, version, count(*) as times from heard group by trip_id, version),
    paid as (
      select * from unnest(${payments.map(({ subject }) => subject)}::text[], ${payments.map(({ type }) => type)}::text[])
        as h (subject, type))
    select format('trip %s, version %s was told %s times', coalesce(h.trip_id, t.trip_id),
                  coalesce(h.version, t.version), coalesce(t.times, 0)) as said
    from trip.trip_history h full join told t using (trip_id, version)
    where h.trip_id is null or t.times is distinct from 1
    union all
    select format('payment %s is %s, and %s events told so', p.id, p.status, count(paid.type))
    from payment.payments p
    left join paid on paid.subject in (p.id::text, p.trip_id::text)
                  and paid.type = 'payment.' || p.status || '.v1'
    where p.status in ('captured', 'failed', 'declined')
    group by p.id having count(paid.type) <> 1`;
  return rows.map(({ said }) => said);
}
