import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { findFreePort } from '../tools/servers/ports.ts';
import type { RunningServer } from '../tools/servers/types.ts';
import { startPrivateRedis } from './private-servers.ts';
import { until } from './until.ts';

export interface ClusterNode {
  server: RunningServer;
  redis: Redis;
}

export interface RedisCluster {
  urls: string[];
  primaries: ClusterNode[];
  replicas: ClusterNode[];
  stop(): Promise<void>;
}

const primaryCount = 3;
const slots = 16_384;
const readyWithinMs = 20_000;

/** Starts a Redis Cluster of six processes: three primaries that share the slots and a replica of each. Takes about 3 s. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const password = randomBytes(18).toString('base64url');
  const nodes = await Promise.all(Array.from({ length: 2 * primaryCount }, () => startNode(password)));
  const stop = async () => {
    for (const { redis } of nodes) redis.disconnect();
    await Promise.all(nodes.map(({ server }) => server.stop()));
  };
  try {
    const primaries = nodes.slice(0, primaryCount);
    const replicas = nodes.slice(primaryCount);
    await formCluster(nodes, primaries, replicas);
    return { urls: nodes.map(({ server }) => server.url), primaries, replicas, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface StartedNode extends ClusterNode {
  port: string;
  clusterPort: number;
}

async function startNode(password: string): Promise<StartedNode> {
  const clusterPort = await findFreePort();
  const server = await startPrivateRedis('geo', { clusterPort, password });
  const redis = new Redis(server.url, { retryStrategy: () => 200, maxRetriesPerRequest: 0 });
  redis.on('error', () => undefined);
  return { server, redis, port: new URL(server.url).port, clusterPort };
}

async function formCluster(
  nodes: readonly StartedNode[],
  primaries: readonly StartedNode[],
  replicas: readonly StartedNode[],
): Promise<void> {
  const slotsEach = Math.ceil(slots / primaries.length);
  for (const [place, { redis }] of primaries.entries()) {
    const first = place * slotsEach;
    await redis.call('cluster', 'ADDSLOTSRANGE', first, Math.min(slots, first + slotsEach) - 1);
    await redis.call('cluster', 'SET-CONFIG-EPOCH', place + 1);
  }
  const [first] = nodes;
  for (const { port, clusterPort } of nodes.slice(1))
    await first?.redis.call('cluster', 'MEET', '127.0.0.1', port, clusterPort);
  await waitForAll(nodes, async ({ redis }) => {
    const known = String(await redis.call('cluster', 'NODES'));
    return known.trim().split('\n').length === nodes.length && !known.includes('handshake');
  });
  for (const [place, { redis }] of replicas.entries()) {
    const id = await primaries[place]?.redis.call('cluster', 'MYID');
    await redis.call('cluster', 'REPLICATE', String(id));
  }
  await waitForAll(nodes, async ({ redis }) =>
    String(await redis.call('cluster', 'INFO')).includes('cluster_state:ok'),
  );
  await waitForAll(replicas, async ({ redis }) =>
    String(await redis.info('replication')).includes('master_link_status:up'),
  );
}

const waitForAll = (nodes: readonly StartedNode[], is: (node: StartedNode) => Promise<boolean>) =>
  until(async () => (await Promise.all(nodes.map(is))).every((isTrue) => isTrue), {
    describe: 'all nodes of the cluster to agree',
    timeoutMs: readyWithinMs,
  });
