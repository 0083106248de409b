import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { demoteToReplica, promoteToPrimary, type RedisPair, startRedisPair } from '@testing/redis-pair.ts';
import { until } from '@testing/until.ts';
import { createLog } from '../log.ts';
import { isOutage } from '../outage.ts';
import { connectRedis, createRedisProbe, createScript, type Redis, waitForRedis } from './connection.ts';

const log = createLog('silent');
const normalWithinMs = 10_000;
const setScript = `return redis.call('SET', KEYS[1], ARGV[1])`;

let pair: RedisPair;
let redis: Redis;

async function open(): Promise<void> {
  pair = await startRedisPair();
  redis = connectRedis(pair.url, 'geo', log);
  await waitForRedis(redis, 5_000);
}
async function close(): Promise<void> {
  redis.disconnect();
  await pair.stop();
}

/** The writes to try: a command, a script and the probe. */
const writes = () => [
  () => redis.set('key', 'value'),
  () => createScript(redis, setScript)(['key'], ['value']),
  createRedisProbe(redis, 'probe'),
];

const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error) => error,
  );

/** Waits until the server rejects each write with this code. That error, and any before it, must count as an outage. */
async function expectRejected(code: string): Promise<void> {
  for (const write of writes())
    await until(
      async () => {
        const error = await errorOf(write());
        expect([String(error), isOutage(error)]).toEqual([String(error), true]);
        return String(error).includes(code);
      },
      { describe: code },
    );
}
const isServed = async (write: () => Promise<unknown>) => {
  await write();
  return true;
};
async function expectServed(): Promise<void> {
  for (const write of writes())
    await until(() => isServed(write), { describe: 'a write to succeed', timeoutMs: normalWithinMs });
}

describe('a rejection by Redis counts as an outage and ends with its cause', () => {
  beforeAll(open, 30_000);
  afterAll(close, 30_000);

  test('demoted and promoted again', async () => {
    await demoteToReplica(pair.first);
    await expectRejected('READONLY');
    await promoteToPrimary(pair.first);
    await expectServed();
  });

  test('full', async () => {
    await pair.first.redis.config('SET', 'maxmemory', '1');
    await expectRejected('OOM');
    await pair.first.redis.config('SET', 'maxmemory', '0');
    await expectServed();
  });

  test('unable to save', async () => {
    // A snapshot cannot be renamed to a path that is a folder.
    const [, dir = ''] = await pair.first.redis.config('GET', 'dir');
    const inTheWay = join(dir, 'dump.rdb');
    rmSync(inTheWay, { force: true });
    mkdirSync(inTheWay);
    await pair.first.redis.config('SET', 'save', '3600 1');
    await pair.first.redis.bgsave();
    await until(async () => (await pair.first.redis.info()).includes('rdb_last_bgsave_status:err'));
    await expectRejected('MISCONF');
    await pair.first.redis.config('SET', 'save', '');
    await expectServed();
    rmSync(inTheWay, { recursive: true });
  });

  test('without the required replicas', async () => {
    await pair.first.redis.config('SET', 'min-replicas-to-write', '2');
    await expectRejected('NOREPLICAS');
    await pair.first.redis.config('SET', 'min-replicas-to-write', '0');
    await expectServed();
  });

  test('busy with a script', async () => {
    await pair.first.redis.config('SET', 'busy-reply-threshold', '1');
    const endless = pair.second.redis.duplicate({
      port: Number(new URL(pair.first.server.url).port),
      maxRetriesPerRequest: 0,
    });
    const ended = endless.eval('while true do end', 0).catch(() => undefined);
    await until(async () => String(await errorOf(redis.get('key'))).includes('BUSY'));
    await expectRejected('BUSY');
    await pair.first.redis.script('KILL');
    await ended;
    endless.disconnect();
    await expectServed();
  });

  test('a wrong command is not an outage', async () => {
    await redis.set('text', 'x');
    const error = await errorOf(redis.lpush('text', 'y'));
    expect(String(error)).toContain('WRONGTYPE');
    expect(isOutage(error)).toBe(false);
    const script = createScript(redis, `return redis.call('LPUSH', KEYS[1], 'y')`);
    const inScript = await errorOf(script(['text'], []));
    expect(String(inScript)).toContain('WRONGTYPE');
    expect(isOutage(inScript)).toBe(false);
  });
});

describe('after a failover behind one address, a connection moves to the new primary', () => {
  beforeAll(open, 30_000);
  afterAll(close, 30_000);

  const isAtSecond = async () =>
    String(await redis.info('server')).includes(`tcp_port:${new URL(pair.second.server.url).port}`);

  test('at its first write, which is rejected', async () => {
    await pair.failOver();
    expect(String(await errorOf(redis.set('key', 'value')))).toContain('READONLY');
    await until(isAtSecond, { timeoutMs: normalWithinMs });
    await expectServed();
  });

  test('without a write, when it only reads or publishes', async () => {
    await demoteToReplica(pair.second);
    await promoteToPrimary(pair.first);
    pair.proxy.redirectNewConnections(pair.first.server.url);
    await until(async () => !(await isAtSecond()), { timeoutMs: normalWithinMs });
  }, 15_000);
});

test('a server that is loading its data after a demotion counts as an outage, and is used again when it has finished', async () => {
  await open();
  await pair.second.redis.replicaof('NO', 'ONE');
  await pair.second.redis.config('SET', 'rdbcompression', 'no');
  const text = 'x'.repeat(2_048);
  await pair.second.redis.mset(Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`key${n}`, text])));
  // A write that the second server does not have forces the first to load everything again: 40 keys in two seconds.
  await pair.first.redis.set('diverged', 'yes');
  await pair.first.redis.config('SET', 'loading-process-events-interval-bytes', '1024');
  await pair.first.redis.config('SET', 'key-load-delay', '50000');
  await pair.first.redis.replicaof('127.0.0.1', Number(new URL(pair.second.server.url).port));
  await until(
    async () => {
      const error = await errorOf(redis.get('key1'));
      if (error === undefined) return false;
      expect(isOutage(error)).toBe(true);
      return String(error).includes('LOADING');
    },
    { describe: 'LOADING' },
  ).finally(() => pair.first.redis.config('SET', 'key-load-delay', '0'));
  await until(() => promoteToPrimary(pair.first), { describe: 'the first to be done' });
  await expectServed();
  await close();
}, 30_000);
