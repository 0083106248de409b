import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { type PrivatePostgres, startPrivatePostgres } from '@testing/private-servers.ts';
import { until } from '@testing/until.ts';
import postgres from 'postgres';
import { createLog } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { createDatabase, type Database, type Sql } from './database.ts';
import {
  createReadConsistencyToken,
  formatReadConsistencyToken,
  parseReadConsistencyToken,
  type ReadConsistencyToken,
} from './read-consistency.ts';

// These tests run on their own servers, since they pause the replay, freeze the replica and kill it.

let servers: PrivatePostgres;
let replicaUrl: string;
let replay: postgres.Sql;
let metrics: Metrics;
let database: Database;
let person = 0;

const open = (): Database =>
  createDatabase({
    url: servers.primary.url,
    replicaUrl,
    schema: 'trip',
    poolMax: 8,
    statementTimeoutMs: 5_000,
    replica: { waitMs: 20, timeoutMs: 250, staleMsMax: 1_000 },
    log: createLog('silent'),
    metrics,
  });

beforeAll(async () => {
  servers = await startPrivatePostgres({ replica: true });
  replicaUrl = servers.replica?.url ?? '';
  replay = postgres(replicaUrl, { max: 1, onnotice: () => undefined });
  metrics = createMetrics();
  database = open();
  await database.primary`create schema trip`;
  await database.primary`create table notes (person int primary key, version int not null)`;
}, 30_000);
afterAll(async () => {
  await database.close();
  await replay.end({ timeout: 1 });
  await servers.stop();
}, 30_000);
beforeEach(async () => {
  await database.close();
  metrics = createMetrics();
  database = open();
  person++;
});

afterEach(() => resumeReplay().catch(() => undefined));

const write = (version: number, at: Database = database) => at.primary`
  insert into notes values (${person}, ${version})
  on conflict (person) do update set version = excluded.version`;

const versionIn = async (sql: Sql): Promise<number> => {
  const [row] = await sql<{ version: number }[]>`select version from notes where person = ${person}`;
  return row?.version ?? 0;
};
const read = (token: ReadConsistencyToken = createReadConsistencyToken(), at: Database = database) =>
  at.read(token, versionIn);

const readsBy = (source: 'replica' | 'primary', reason = ''): number =>
  metrics
    .text()
    .split('\n')
    .filter((line) => line.startsWith('database_reads_total') && line.includes(`source="${source}"`))
    .filter((line) => line.includes(`reason="${reason}`))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);

/** Returns the token as the client sends it back with its next request. */
const sentBack = (token: ReadConsistencyToken): ReadConsistencyToken => {
  const header = formatReadConsistencyToken(token);
  return parseReadConsistencyToken(
    new Request('http://here', header === undefined ? {} : { headers: { 'x-session-token': header } }),
  );
};

const pauseReplay = () => replay`select pg_wal_replay_pause()`;
const resumeReplay = () => replay`select pg_wal_replay_resume()`;

/** Pauses the replay right after a read was answered by the replica. */
async function pauseOnceReplayed(readOnce: () => Promise<unknown>): Promise<void> {
  await until(async () => {
    const before = readsBy('replica');
    await readOnce();
    return readsBy('replica') > before;
  });
  await pauseReplay();
}

describe('a read returns all earlier writes, whoever made them', () => {
  test('from the replica while it keeps up', async () => {
    await until(async () => (await read()) === 0 && readsBy('replica') > 0);
    for (let version = 1; version <= 50; version++) {
      await write(version);
      expect(await read()).toBe(version);
    }
    expect(readsBy('replica')).toBeGreaterThan(25);
  });

  test('from the primary while the replay is paused, and from the replica again afterwards', async () => {
    await write(1);
    await until(async () => (await read()) === 1 && readsBy('replica') > 0);
    await pauseReplay();
    for (let version = 2; version <= 30; version++) {
      await write(version);
      expect(await read()).toBe(version);
    }
    expect(readsBy('primary', 'lagging')).toBeGreaterThan(20);
    await resumeReplay();
    const before = readsBy('replica');
    await until(async () => (await read()) === 30 && readsBy('replica') > before);
  });

  test('for many concurrent clients of two instances, while the replay stops and resumes', async () => {
    const other = open();
    let stale = 0;
    let isOver = false;
    const people = Array.from({ length: 20 }, (_, index) => 1_000 + index);
    const writeAndRead = async (id: number) => {
      for (let version = 1; !isOver; version++) {
        const [writer, reader] = version % 2 === 0 ? [database, other] : [other, database];
        await writer.primary`
          insert into notes values (${id}, ${version})
          on conflict (person) do update set version = excluded.version`;
        const found = await reader.read(
          createReadConsistencyToken(),
          async (sql) => sql<{ version: number }[]>`
          select version from notes where person = ${id}`,
        );
        if (found[0]?.version !== version) stale++;
      }
    };
    const clients = Promise.all(people.map(writeAndRead));
    for (let round = 0; round < 3; round++) {
      const [primary, replica] = [readsBy('primary'), readsBy('replica')];
      await pauseReplay();
      await until(() => readsBy('primary') > primary + 5);
      await resumeReplay();
      await until(() => readsBy('replica') > replica + 5);
    }
    isOver = true;
    await clients;
    expect(stale).toBe(0);
    await other.close();
  });
});

describe('with a read consistency token', () => {
  test('reads go to the replica without asking the primary, and never miss the own write', async () => {
    const token = createReadConsistencyToken(true);
    await write(1);
    await database.raiseToCommitted(token);
    expect(await read(sentBack(token))).toBe(1);
    const freshBefore = readsBy('replica', 'fresh');
    for (let i = 0; i < 5; i++) expect(await read(sentBack(token))).toBe(1);
    expect(readsBy('replica', 'token')).toBeGreaterThanOrEqual(4);
    expect(readsBy('replica', 'fresh')).toBeLessThanOrEqual(freshBefore + 1);
  });

  test('an own write that the replica has not replayed is read from the primary', async () => {
    const token = createReadConsistencyToken(true);
    await write(1);
    await database.raiseToCommitted(token);
    await until(async () => (await read(sentBack(token))) === 1 && readsBy('replica') > 0);
    await pauseReplay();
    await write(2);
    await database.raiseToCommitted(token);
    expect(await read(sentBack(token))).toBe(2);
    await resumeReplay();
  });

  test('reads never go back in time: the token takes what was read from the primary to the next instance', async () => {
    const token = createReadConsistencyToken(true);
    const other = open();
    await write(1);
    await database.raiseToCommitted(token);
    await pauseOnceReplayed(() => other.read(createReadConsistencyToken(), versionIn));
    await write(2);
    // This instance finds the replica lagging and reads from the primary. The other one has not noticed yet.
    await read();
    const seen = sentBack(token);
    expect(await read(seen)).toBe(2);
    expect(await read(sentBack(seen), other)).toBe(2);
    await other.close();
    await resumeReplay();
  });

  test('a frozen replica serves its past no longer than a token may be stale', async () => {
    const token = createReadConsistencyToken(true);
    await write(1);
    await database.raiseToCommitted(token);
    await until(async () => (await read(sentBack(token))) === 1 && readsBy('replica') > 0);
    await pauseReplay();
    await write(2);
    await until(async () => (await read(sentBack(token))) === 2, { timeoutMs: 3_000 });
    await resumeReplay();
  });

  test.each([
    'nonsense',
    '1.trip-',
    `1.trip-${'z'.repeat(300)}`,
    '2.trip-1',
    '1.trip-zzzzzzzzzzz',
    '1.trip-0',
  ])('the header %p leads to a read of the newest state, not to an error', async (header) => {
    await write(7);
    const request = new Request('http://here', { headers: { 'x-session-token': header } });
    expect(await read(parseReadConsistencyToken(request))).toBe(7);
  });
});

describe('when the replica fails', () => {
  const replica = () => {
    if (servers.replica === undefined) throw new Error('there is no replica');
    return servers.replica;
  };

  test('frozen: reads go to the primary, soon without waiting, and return to the replica when it resumes', async () => {
    await write(1);
    await until(async () => (await read()) === 1 && readsBy('replica') > 0);
    replica().kill('SIGSTOP');
    const startedMs = performance.now();
    await write(2);
    expect(await Promise.all(Array.from({ length: 30 }, () => read()))).toEqual(Array(30).fill(2));
    // One wait of half a second for each read, one after the other, would be ten seconds.
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    const again = performance.now();
    for (let i = 0; i < 20; i++) expect(await read()).toBe(2);
    expect(performance.now() - again).toBeLessThan(5_000);
    replica().kill('SIGCONT');
    const before = readsBy('replica');
    await until(async () => (await read()) === 2 && readsBy('replica') > before);
  });

  test('killed and restarted: no read returns an older state meanwhile', async () => {
    await write(1);
    await until(async () => (await read()) === 1 && readsBy('replica') > 0);
    replica().kill('SIGKILL');
    await write(2);
    expect(await read()).toBe(2);
    expect(readsBy('primary')).toBeGreaterThan(0);
    const starting = replica().restart();
    const before = readsBy('replica');
    let version = 2;
    await until(
      async () => {
        await write(++version);
        expect(await read()).toBe(version);
        return readsBy('replica') > before;
      },
      { timeoutMs: 15_000 },
    );
    await starting;
  }, 20_000);
});
