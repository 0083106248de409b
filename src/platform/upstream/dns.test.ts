import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test';
import { type DnsServer, startDnsServer } from '@testing/dns-server.ts';
import { until } from '@testing/until.ts';
import { systemClock } from '../clock.ts';
import type { Worker } from '../lifecycle.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { createDiscovery, parseInstanceSource } from './discovery.ts';
import { createDnsResolver } from './dns.ts';
import { createUpstream, type Upstream } from './upstream.ts';

const clock = systemClock;
const log = createLog('silent');
const refreshMs = 20;
const timeoutMs = 300;
const addresses = (count: number) => Array.from({ length: count }, (_, at) => `10.0.0.${at + 1}`);

let dns: DnsServer;
let upstream: Upstream;
let discovery: Worker;
beforeAll(async () => {
  dns = await startDnsServer();
});
afterAll(() => dns.stop());

beforeEach(async () => {
  dns.setBehaviour({ kind: 'addresses', addresses: addresses(3) });
  upstream = createUpstream({
    name: 'trip',
    urls: [],
    concurrencyMax: 10,
    connectTimeoutMs: 1_000,
    clock,
    log,
    metrics: createMetrics(),
  });
  discovery = createDiscovery({
    upstream,
    source: parseInstanceSource('dns+http://trip.uitgo.test:3000'),
    refreshMs,
    clock,
    log,
    dnsResolver: createDnsResolver({ servers: [dns.address], timeoutMs }),
  });
  await discovery.start();
});
afterEach(async () => {
  await discovery.stop();
  upstream.close();
});

const known = () => upstream.instances().length;
const knows = (count: number) =>
  until(() => known() === count, { describe: `${count} instances to be known`, actual: known });

test('instances are known once discovery has started, and their changes are seen whatever the TTL of the records', async () => {
  expect(known()).toBe(3);
  dns.setBehaviour({ kind: 'addresses', addresses: addresses(12) });
  await knows(12);
  dns.setBehaviour({ kind: 'addresses', addresses: addresses(3) });
  await knows(3);
  expect(upstream.instances().map(({ url }) => url)).toEqual([
    'http://10.0.0.1:3000',
    'http://10.0.0.2:3000',
    'http://10.0.0.3:3000',
  ]);
});

test('an answer larger than a datagram is read over TCP', async () => {
  const before = dns.queryCounts.tcp;
  dns.setBehaviour({ kind: 'truncated', addresses: addresses(40) });
  await knows(40);
  expect(dns.queryCounts.tcp).toBeGreaterThan(before);
});

test.each([
  ['fails', { kind: 'server_failure' }],
  ['does not know the name', { kind: 'no_such_name' }],
  ['has no address for it', { kind: 'addresses', addresses: [] }],
  ['never answers', { kind: 'silent' }],
] as const)(
  'the known instances stay while the name server %s, and are updated again afterwards',
  async (_, behaviour) => {
    const queryCount = () => dns.queryCounts.udp;
    const before = queryCount();
    dns.setBehaviour(behaviour);
    await until(() => queryCount() >= before + 6, { describe: 'two more queries', actual: queryCount });
    expect(known()).toBe(3);
    dns.setBehaviour({ kind: 'addresses', addresses: addresses(5) });
    await knows(5);
  },
);

test('a query without an answer ends in time', async () => {
  dns.setBehaviour({ kind: 'silent' });
  const names = createDnsResolver({ servers: [dns.address], timeoutMs });
  await expect(names.resolve4('trip.uitgo.test')).rejects.toThrow();
});
