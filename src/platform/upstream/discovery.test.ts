import { describe, expect, test } from 'bun:test';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '@testing/until.ts';
import { createManualClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { createDiscovery, findInstances, parseInstanceSource } from './discovery.ts';
import type { DnsResolver } from './dns.ts';
import { createUpstream } from './upstream.ts';

const noData = () => Promise.reject(Object.assign(new Error('no data'), { code: 'ENODATA' }));
const resolver = (
  found: Partial<Record<'a' | 'aaaa', string[]>>,
  srv: { name: string; port: number }[] = [],
): DnsResolver => ({
  resolve4: async () => found.a ?? noData(),
  resolve6: async () => found.aaaa ?? noData(),
  resolveServices: async () => srv,
});

describe('the instances of a service can be listed by', () => {
  const find = (setting: string, answers = resolver({})) =>
    findInstances(parseInstanceSource(setting), answers);

  test('URLs separated by commas', async () => {
    expect(await find('http://b:2, http://a:1')).toEqual(['http://a:1', 'http://b:2']);
  });

  test('the A and AAAA records of a name', async () => {
    const answers = resolver({ a: ['10.0.0.2', '10.0.0.1'], aaaa: ['fd00::1'] });
    expect(await find('dns+http://trip.uitgo.local:3000', answers)).toEqual([
      'http://10.0.0.1:3000',
      'http://10.0.0.2:3000',
      'http://[fd00::1]:3000',
    ]);
    expect(await find('dns+http://trip.uitgo.local:3000', resolver({ a: ['10.0.0.1'] }))).toEqual([
      'http://10.0.0.1:3000',
    ]);
  });

  test('the SRV records of a name, each with its port', async () => {
    const answers = resolver({}, [
      { name: 'i-2.uitgo.local', port: 32_768 },
      { name: 'i-1.uitgo.local', port: 32_769 },
    ]);
    expect(await find('srv+http://trip.uitgo.local', answers)).toEqual([
      'http://i-1.uitgo.local:32769',
      'http://i-2.uitgo.local:32768',
    ]);
  });

  test('nothing else: one invalid entry rejects the whole source', async () => {
    for (const setting of [
      'ftp://a',
      'http://a/path',
      'http://me:secret@a',
      'http://a,,',
      'nonsense',
      'dns+ftp://a',
    ])
      expect(() => parseInstanceSource(setting)).toThrow();
    await expect(find('dns+http://a', resolver({ a: [] }))).rejects.toThrow('no instance');
    const many = Array.from({ length: 65 }, (_, at) => `10.0.0.${at}`);
    await expect(find('dns+http://a', resolver({ a: many }))).rejects.toThrow('more than 64');
  });
});

test('changes of a file are applied: a removed instance gets no new requests, and an invalid file changes nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'uit-go-'));
  const path = join(folder, 'trip');
  const write = (text: string) => {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  };
  write('# trip\nhttp://127.0.0.1:1001\n\nhttp://127.0.0.1:1002\n');
  const clock = createManualClock(0);
  const log = createLog('silent');
  const upstream = createUpstream({
    name: 'trip',
    urls: [],
    concurrencyMax: 10,
    connectTimeoutMs: 1_000,
    clock,
    log,
    metrics: createMetrics(),
  });
  const urls = () => upstream.instances().map(({ url }) => url);
  const discovery = createDiscovery({
    upstream,
    source: parseInstanceSource(`file://${path}`),
    refreshMs: 5_000,
    clock,
    log,
  });
  const look = async () => {
    await until(() => clock.sleepers() > 0);
    await clock.advance(5_000);
    await until(() => clock.sleepers() > 0);
  };
  try {
    await discovery.start();
    await until(() => urls().length === 2);
    const [, stays] = upstream.instances();

    write('http://127.0.0.1:1002\nhttp://127.0.0.1:1003\n');
    await look();
    expect(urls()).toEqual(['http://127.0.0.1:1002', 'http://127.0.0.1:1003']);
    expect(upstream.instances()[0]).toBe(stays);

    for (const broken of ['', 'not a url\n', 'http://127.0.0.1:1004\nhttp://a/b\n']) {
      write(broken);
      await look();
      expect(urls()).toEqual(['http://127.0.0.1:1002', 'http://127.0.0.1:1003']);
    }
  } finally {
    await discovery.stop();
    upstream.close();
    rmSync(folder, { recursive: true });
  }
});
