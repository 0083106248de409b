import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { createTcpProxy, type TcpProxy } from '../tools/faults/tcp-proxy.ts';
import type { RunningServer } from '../tools/servers/types.ts';
import { startPrivateRedis } from './private-servers.ts';
import { until } from './until.ts';

export interface RedisNode {
  server: RunningServer;
  /** A direct connection, not through the proxy. */
  redis: Redis;
}

/** A Redis primary and its replica behind one address, which leads to the primary. */
export interface RedisPair {
  /** The URL of the shared address. */
  url: string;
  proxy: TcpProxy;
  first: RedisNode;
  second: RedisNode;
  /** Makes the second server the primary and the first its replica. New connections lead to the second; open ones stay. */
  failOver(): Promise<void>;
  stop(): Promise<void>;
}

/** Takes about 0.5 s. */
export async function startRedisPair(role: 'geo' | 'cache' = 'geo'): Promise<RedisPair> {
  const password = randomBytes(18).toString('base64url');
  const [first, second] = await Promise.all([startNode(role, password), startNode(role, password)]);
  const proxy = await createTcpProxy(first.server.url);
  await replicate(second, first);
  return {
    url: proxy.rewriteUrl(first.server.url),
    proxy,
    first,
    second,
    async failOver() {
      await promoteToPrimary(second);
      await replicate(first, second);
      proxy.redirectNewConnections(second.server.url);
    },
    async stop() {
      await proxy.close();
      for (const { redis } of [first, second]) redis.disconnect();
      await Promise.all([first.server.stop(), second.server.stop()]);
    },
  };
}

async function startNode(role: 'geo' | 'cache', password: string): Promise<RedisNode> {
  const server = await startPrivateRedis(role, { password });
  const redis = new Redis(server.url);
  redis.on('error', () => undefined);
  await redis.config('SET', 'masterauth', password);
  await redis.config('SET', 'repl-diskless-sync-delay', '0');
  return { server, redis };
}

/** Makes the server a primary. */
export const promoteToPrimary = ({ redis }: RedisNode) => redis.replicaof('NO', 'ONE');

/** Makes the server a replica of nothing: it rejects writes with READONLY until it is promoted. */
export const demoteToReplica = ({ redis }: RedisNode) => redis.replicaof('127.0.0.1', 1);

async function replicate({ redis }: RedisNode, primary: RedisNode): Promise<void> {
  await redis.replicaof('127.0.0.1', Number(new URL(primary.server.url).port));
  await until(async () => (await redis.info('replication')).includes('master_link_status:up'), {
    describe: 'the replica to have the data of its primary',
  });
}
