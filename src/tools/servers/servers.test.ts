import { expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServers } from './index.ts';
import { isProcessAlive, processTree } from './process-tree.ts';

// Starting a server takes seconds, more on a busy machine.
setDefaultTimeout(60_000);

const folder = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'uitgo-servers-'));
  chmodSync(dir, 0o755);
  return dir;
};

test('all servers start together and leave nothing behind when stopped', async () => {
  const dir = folder();
  const lines: string[] = [];
  const servers = await startServers({
    dir,
    postgres: { replica: true },
    redis: true,
    rabbitmq: true,
    ephemeral: true,
    report: (line) => lines.push(line),
  });
  const kinds = servers.all().map((server) => server.kind);
  expect(kinds.sort()).toEqual(['postgres', 'postgres-replica', 'rabbitmq', 'redis-cache', 'redis-geo']);
  expect(new Set(servers.all().map((server) => new URL(server.url).port)).size).toBe(5);
  expect(lines.join('\n')).toContain('RabbitMQ is ready');

  const pids = servers.all().flatMap((server) => server.pids());
  await servers.stop();
  await servers.stop();
  expect(pids.filter(isProcessAlive)).toEqual([]);
  expect(existsSync(dir)).toBe(false);
});

test('an interrupted start leaves nothing running and no folder', async () => {
  const dir = folder();
  const before = processTree(process.pid);
  const interruption = new AbortController();
  const starting = startServers({
    dir,
    postgres: { replica: true },
    redis: true,
    rabbitmq: true,
    ephemeral: true,
    signal: interruption.signal,
    // As soon as the first server is ready.
    report: (line) => line.includes('ready') && interruption.abort(),
  });
  await expect(starting).rejects.toMatchObject({ code: 'server.interrupted' });
  expect(processTree(process.pid).filter((pid) => !before.includes(pid))).toEqual([]);
  expect(existsSync(dir)).toBe(false);
});

test('external servers are used as they are and are not stopped', async () => {
  const externalUrls = {
    postgres: 'postgres://a@db/x',
    postgresReplica: 'postgres://a@replica/x',
    geoRedis: 'redis://geo',
    cacheRedis: 'redis://cache',
    amqp: 'amqp://broker',
  };
  const dir = folder();
  const servers = await startServers({
    dir,
    postgres: { replica: true },
    redis: true,
    rabbitmq: true,
    ephemeral: true,
    externalUrls,
    report: () => undefined,
  });
  expect(
    servers
      .all()
      .map((server) => server.url)
      .sort(),
  ).toEqual(Object.values(externalUrls).sort());
  expect(servers.all().every((server) => server.origin === 'given')).toBe(true);
  await expect(servers.rabbitmq?.kill('SIGKILL')).rejects.toMatchObject({ code: 'server.not_ours' });
  await servers.stop();
});
