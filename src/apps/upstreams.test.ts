import { afterEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServiceCredentials } from '@platform/auth/service-tokens.ts';
import { upstreamSettings } from '@platform/upstream/settings.ts';
import { Type } from '@sinclair/typebox';
import { until } from '@testing/until.ts';
import { createDriverPoolClient } from './clients.ts';
import { createRuntime } from './process.ts';
import { openUpstreams } from './upstreams.ts';

// Tests the calls from one service to another over the balanced client, wired as in a composition root.

const pickup = { lat: 10.77, lng: 106.7 };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Starts an instance of the driver service that finds no candidates. */
function startDriverInstance(behaviour: { ready: boolean } = { ready: true }) {
  let searches = 0;
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      if (request.url.endsWith('/readyz')) return new Response(null, { status: behaviour.ready ? 200 : 503 });
      searches++;
      return Response.json({ candidates: [] });
    },
  });
  cleanups.push(() => server.stop(true));
  return { url: server.url.origin, searches: () => searches, stop: () => server.stop(true) };
}

async function startCaller(driverUrl: string) {
  const runtime = createRuntime('trip', Type.Object(upstreamSettings), {
    LOG_LEVEL: 'silent',
    HEALTH_CHECK_MS: '100',
    INSTANCES_REFRESH_MS: '100',
  });
  const { callers, upstreams, workers } = openUpstreams(runtime, { driver: driverUrl });
  for (const worker of workers) await worker.start();
  cleanups.push(async () => {
    for (const worker of workers) await worker.stop();
    await runtime.closeAll();
  });
  const credentials = createServiceCredentials({
    secret: 's'.repeat(32),
    service: 'trip',
    clock: runtime.clock,
  });
  const drivers = createDriverPoolClient(runtime, credentials, callers.driver);
  const search = async (count: number) => {
    for (let n = 0; n < count; n++)
      await drivers.findCandidates({ pickup, product: 'car', limit: 5, excluding: [] });
  };
  return { search, instances: () => upstreams.driver.instances() };
}

test('calls are balanced over the instances of a list, and skip an instance that has died', async () => {
  const [first, second] = [startDriverInstance(), startDriverInstance()];
  const { search } = await startCaller(`${first.url},${second.url}`);
  await search(10);
  expect([first.searches(), second.searches()]).toEqual([5, 5]);
  await first.stop();
  await search(10);
  expect(second.searches()).toBe(15);
});

test('an instance that is not ready gets no calls until it becomes ready', async () => {
  const behaviour = { ready: false };
  const [first, second] = [startDriverInstance(behaviour), startDriverInstance()];
  const { search, instances } = await startCaller(`${first.url},${second.url}`);
  const isReady = () => instances().find(({ url }) => url === first.url)?.isReady;
  await until(() => isReady() === false);
  const before = first.searches();
  await search(10);
  expect(first.searches()).toBe(before);
  behaviour.ready = true;
  await until(() => isReady() === true);
  await search(10);
  expect(first.searches()).toBe(before + 5);
});

test('instances are added and removed with the file that lists them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'uitgo-upstreams-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const [first, second] = [startDriverInstance(), startDriverInstance()];
  const file = join(folder, 'driver');
  writeFileSync(file, `${first.url}\n`);
  const { search, instances } = await startCaller(`file://${file}`);
  await search(3);
  expect(first.searches()).toBe(3);
  writeFileSync(file, `${second.url}\n`);
  await until(() => instances()[0]?.url === second.url);
  await search(3);
  expect([first.searches(), second.searches()]).toEqual([3, 3]);
});
