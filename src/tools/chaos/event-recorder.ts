import { unpackEvents } from '@platform/bus/event-batch.ts';
import { createBrokerNames, declareExchange, namespaceDefault } from '@platform/bus/topology.ts';
import { connect, type Message } from 'amqplib';
import type postgres from 'postgres';

/**
 * Records every event in a queue of its own, so that what the broker confirmed can be compared with what
 * the databases committed.
 */
export interface EventRecorder {
  /** Removes and returns allRead events recorded so far. */
  takeRecorded(): Promise<RecordedEvent[]>;
}

export interface RecordedEvent {
  id: string;
  type: string;
  subject: string;
  /** The version of the trip; null for other events. */
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
      const connectionForReading = await connect(amqpUrl);
      const channelForReading = await connectionForReading.createChannel();
      const { messageCount } = await channelForReading.checkQueue(queue);
      const events: RecordedEvent[] = [];
      let readCount = 0;
      const { promise: allRead, resolve } = Promise.withResolvers<void>();
      if (messageCount === 0) resolve();
      await channelForReading.consume(
        queue,
        (message) => {
          if (message === null) return;
          events.push(...eventsOf(message));
          if (++readCount === messageCount) resolve();
        },
        { noAck: true },
      );
      await allRead;
      await connectionForReading.close();
      return events;
    },
  };
}

function eventsOf(message: Message): RecordedEvent[] {
  return unpackEvents(message).map(({ result }) => {
    if (result.kind === 'invalid') throw new Error(`a service published an invalid event: ${result.reason}`);
    const { id, type, subject, data } = result.event;
    return { id, type, subject, version: 'version' in data ? data.version : null };
  });
}

/** Checks that each transition has exactly one event, which may be duplicated, and each event one transition. */
export async function checkEvents(sql: postgres.Sql, recorded: readonly RecordedEvent[]): Promise<string[]> {
  const events = [...new Map(recorded.map((event) => [event.id, event])).values()];
  const trips = events.filter(({ type }) => type.startsWith('trip.'));
  const payments = events.filter(({ type }) => type.startsWith('payment.'));
  const rows = await sql<{ violation: string }[]>`
    with recorded as (
      select * from unnest(${trips.map(({ subject }) => subject)}::uuid[], ${trips.map(({ version }) => version)}::int[])
        as h (trip_id, version)),
    published as (select trip_id, version, count(*) as times from recorded group by trip_id, version),
    paid as (
      select * from unnest(${payments.map(({ subject }) => subject)}::text[], ${payments.map(({ type }) => type)}::text[])
        as h (subject, type))
    select format('trip %s, version %s has %s events', coalesce(h.trip_id, t.trip_id),
                  coalesce(h.version, t.version), coalesce(t.times, 0)) as violation
    from trip.trip_history h full join published t using (trip_id, version)
    where h.trip_id is null or t.times is distinct from 1
    union all
    select format('payment %s is %s and has %s events of that', p.id, p.status, count(paid.type))
    from payment.payments p
    left join paid on paid.subject in (p.id::text, p.trip_id::text)
                  and paid.type = 'payment.' || p.status || '.v1'
    where p.status in ('captured', 'failed', 'declined')
    group by p.id having count(paid.type) <> 1`;
  return rows.map(({ violation }) => violation);
}
