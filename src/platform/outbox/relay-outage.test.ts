import { expect, test } from 'bun:test';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestDatabase } from '@testing/postgres.ts';
import { startPrivateRabbitmq } from '@testing/private-servers.ts';
import { until } from '@testing/until.ts';
import { createRabbitBus } from '../bus/rabbit.ts';
import { systemClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { createDatabase } from '../postgres/database.ts';
import { migrate } from '../postgres/migrate.ts';
import { insertEvents } from '../postgres/statements.ts';
import { systemRandom } from '../random.ts';
import { createRelay } from './relay.ts';

const log = createLog('silent');
const writesBefore = 500;
const writesDuring = 1_500;

test('writes continue while RabbitMQ is killed, no event is lost, and the backlog drains when it is back', async () => {
  const rabbitmq = await startPrivateRabbitmq();
  const testDatabase = await createTestDatabase();
  const parts = { clock: systemClock, random: systemRandom, log, metrics: createMetrics() };
  const database = createDatabase({
    url: testDatabase.url,
    schema: 'trip',
    poolMax: 4,
    statementTimeoutMs: 5_000,
    log,
  });
  await migrate(database, [], log);
  const sql = database.primary;
  const bus = createRabbitBus({ ...parts, url: rabbitmq.url, publishTimeoutMs: 1_000 });
  const relay = createRelay({ ...parts, database, bus });
  const writtenIds: string[] = [];
  const received = new Map<string, number[]>();
  const receivedIds = new Set<string>();
  await bus.subscribe({
    queue: 'test.listener',
    events: ['trip.requested.v1'],
    prefetch: 200,
    async handle({ event }) {
      const isNew = !receivedIds.has(event.id);
      receivedIds.add(event.id);
      if (isNew) received.set(event.subject, [...(received.get(event.subject) ?? []), event.data.version]);
      return { kind: 'done' };
    },
  });
  await relay.start();

  async function write(count: number): Promise<void> {
    for (let at = 0; at < count; at += 50) {
      const events = Array.from({ length: 50 }, (_, place) =>
        sampleTripEvent({ subject: `subject-${place % 7}`, version: writtenIds.length + place + 1 }),
      );
      await sql`with inserted as (${insertEvents(sql, events)}) select 1`;
      writtenIds.push(...events.map(({ id }) => id));
      relay.wake();
    }
  }
  const countRows = async () =>
    (await sql<{ count: number }[]>`select count(*)::int as count from outbox`)[0]?.count ?? -1;

  try {
    await write(writesBefore);
    await Promise.all([rabbitmq.kill('SIGKILL'), write(writesBefore)]);
    await write(writesDuring);
    expect(await countRows()).toBeGreaterThanOrEqual(writesDuring);
    await rabbitmq.restart();
    await until(async () => (await countRows()) === 0, {
      timeoutMs: 30_000,
      describe: 'the backlog to drain',
    });
    await until(() => receivedIds.size === writtenIds.length, { timeoutMs: 30_000 });
    expect([...receivedIds].sort()).toEqual(writtenIds.toSorted());
    for (const versions of received.values()) expect(versions).toEqual(versions.toSorted((a, b) => a - b));
  } finally {
    await relay.stop();
    await bus.close();
    await database.close();
    await testDatabase.drop();
    await rabbitmq.stop();
  }
}, 120_000);
