import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startPrivateRedis } from '../../testing/private-servers.ts';
import { findEngines, rabbitmqProgram, redisProgram } from './engine.ts';
import { isProcessAlive } from './process-tree.ts';
import { type RedisOptions, startRedis } from './redis.ts';
import { probeTcp } from './tcp.ts';
import type { RunningServer } from './types.ts';

// Starting a server takes seconds, more on a busy machine.
setDefaultTimeout(60_000);

const report = () => undefined;
const running: RunningServer[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
});

const start = async (options: Partial<RedisOptions> = {}): Promise<RunningServer> => {
  const engine = (await findEngines([redisProgram], report)).get(redisProgram);
  if (engine === undefined) throw new Error('no Redis to start');
  const dir = mkdtempSync(join(tmpdir(), 'uitgo-redis-'));
  const server = await startRedis({ dir, role: 'geo', engine, ephemeral: true, report, ...options });
  running.push(server);
  return server;
};

const ask = async <T>(url: string, work: (redis: Redis) => Promise<T>): Promise<T> => {
  const redis = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  redis.on('error', report);
  try {
    await redis.connect();
    return await work(redis);
  } finally {
    redis.disconnect();
  }
};

const setting = (url: string, name: string) =>
  ask(url, async (redis) => (await redis.config('GET', name))[1]);

describe('roles', () => {
  test('geo rejects writes when full instead of evicting drivers', async () => {
    const { url } = await start({ role: 'geo' });
    expect(await setting(url, 'maxmemory-policy')).toBe('noeviction');
  });

  test('cache evicts the least recently used keys at a bounded size', async () => {
    const { url } = await start({ role: 'cache' });
    expect(await setting(url, 'maxmemory-policy')).toBe('allkeys-lru');
    expect(await setting(url, 'maxmemory')).toBe(String(256 * 1024 * 1024));
  });

  test('neither role writes to disk', async () => {
    const { url } = await start();
    expect(await setting(url, 'save')).toBe('');
    expect(await setting(url, 'appendonly')).toBe('no');
  });
});

test('a login without the password is rejected', async () => {
  const { url } = await start();
  const port = Number(new URL(url).port);
  expect(await probeTcp(port, 'GET a\r\n', (answer) => answer.startsWith('-NOAUTH'))).toBe(true);
});

test('stopping leaves no process and no folder', async () => {
  const server = await startPrivateRedis();
  const pids = server.pids();
  const folder = join(server.logFile ?? '', '..');
  expect(pids).toHaveLength(1);
  await server.stop();
  expect(pids.filter(isProcessAlive)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
});

test('after a kill and restart it is empty, at the same URL', async () => {
  const server = await start();
  await ask(server.url, (redis) => redis.set('a', '1'));
  await server.kill('SIGKILL');
  await expect(ask(server.url, (redis) => redis.get('a'))).rejects.toThrow();
  await server.restart();
  expect(await ask(server.url, (redis) => redis.get('a'))).toBeNull();
});

describe('the engine', () => {
  const search = {
    path: '/nowhere',
    mayInstall: () => false,
    isDockerAvailable: async () => false,
  };

  test('a machine without any engine gets instructions', async () => {
    const nothing = { ...redisProgram, programs: ['redis-server-missing'] };
    const rabbit = { ...rabbitmqProgram, programs: ['rabbitmq-missing'] };
    const failure = await findEngines([nothing, rabbit], report, search).catch(String);
    expect(failure).toContain('Redis and RabbitMQ not found');
    expect(failure).toContain('sudo apt-get install redis-server rabbitmq-server');
    expect(failure).toContain('Docker');
    expect(failure).toContain('GEO_REDIS_URL, CACHE_REDIS_URL, AMQP_URL');
  });

  test('Docker is preferred over programs', async () => {
    const engines = await findEngines([redisProgram], report, {
      ...search,
      isDockerAvailable: async () => true,
    });
    expect(engines.get(redisProgram)).toEqual({ via: 'docker' });
  });

  test('in a container it has the same settings, address and lifecycle', async () => {
    const server = await withFakeDocker(() => start({ role: 'cache', engine: { via: 'docker' } }));
    expect(server.origin).toBe('docker');
    expect(await setting(server.url, 'maxmemory-policy')).toBe('allkeys-lru');
    const pids = server.pids();
    await server.stop();
    expect(pids.filter(isProcessAlive)).toEqual([]);
  });
});

/** A fake `docker` that has the image and runs the command of the container on this machine. */
const withFakeDocker = async <T>(work: () => Promise<T>): Promise<T> => {
  const bin = mkdtempSync(join(tmpdir(), 'uitgo-docker-'));
  const script = `#!/bin/sh
[ "$1" = run ] || exit 0
while [ "$1" != redis-server ]; do
  [ "$1" = -p ] && address=\${2#127.0.0.1:} && port=\${address%:*}
  shift
done
exec "$@" --bind 127.0.0.1 --port "$port"
`;
  writeFileSync(join(bin, 'docker'), script);
  chmodSync(join(bin, 'docker'), 0o755);
  const path = process.env.PATH;
  process.env.PATH = `${bin}:${path}`;
  try {
    return await work();
  } finally {
    process.env.PATH = path;
    rmSync(bin, { recursive: true, force: true });
  }
};
