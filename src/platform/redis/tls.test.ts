import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join } from 'node:path';
import { runToEnd } from '@testing/processes.ts';
import { startTlsRedisCluster, type TlsRedis } from '@testing/redis-tls.ts';

let redis: TlsRedis;
beforeAll(async () => {
  redis = await startTlsRedisCluster();
});
afterAll(() => redis?.stop());

// A process reads the authorities that it trusts at start, so each test starts its own process.
const program = `
  const { connectRedis, connectRedisCluster, waitForRedis } = await import(${JSON.stringify(join(import.meta.dir, 'connection.ts'))});
  const { createLog } = await import(${JSON.stringify(join(import.meta.dir, '../log.ts'))});
  const [url] = process.argv.slice(-1);
  const log = createLog('silent', {});
  const single = connectRedis(url, 'geo', log);
  await waitForRedis(single, Number(process.env.READY_MS));
  await single.call('cluster', 'ADDSLOTSRANGE', 0, 16_383);
  while (!String(await single.call('cluster', 'INFO')).includes('cluster_state:ok')) await Bun.sleep(50);
  const cluster = connectRedisCluster([url], 'geo', log);
  await waitForRedis(cluster, Number(process.env.READY_MS));
  await cluster.set('{trip}', 'over TLS');
  console.log(await single.ping(), await cluster.get('{trip}'));
  process.exit(0);`;

const run = (env: Record<string, string>) =>
  runToEnd([process.execPath, '-e', program, redis.url], { PATH: process.env.PATH ?? '', ...env });

test('a server whose certificate authority is unknown is not used', async () => {
  const { out, err, exitCode } = await run({ READY_MS: '3000' });
  expect({ out, exitCode }).toEqual({ out: '', exitCode: 1 });
  expect(err).toContain('Redis does not answer');
});

test('a Redis and a Redis Cluster are reached by host name over TLS, with the authority of NODE_EXTRA_CA_CERTS', async () => {
  const { out, err, exitCode } = await run({ NODE_EXTRA_CA_CERTS: redis.authorityFile, READY_MS: '15000' });
  expect({ out, err, exitCode }).toEqual({ out: 'PONG over TLS\n', err: '', exitCode: 0 });
});
