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

// The calls of one service to another over the balanced client, as its composition root wires them.

const pickup = { lat: 10.77, lng: 106.7 };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** An instance of the driver service that finds no candidate. */
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

test('calls go to every instance of a list, and to the others once one has died', async () => {
  const [one, two] = [startDriverInstance(), startDriverInstance()];
  const { search } = await startCaller(`${one.url},${two.url}`);
  await search(10);
  expect([one.searches(), two.searches()]).toEqual([5, 5]);
  await one.stop();
  await search(10);
  expect(two.searches()).toBe(15);
});

test('an instance that is not ready gets no calls until it is', async () => {
  const behaviour = { ready: false };
  const [one, two] = [startDriverInstance(behaviour), startDriverInstance()];
  const { search, instances } = await startCaller(`${one.url},${two.url}`);
  const isIn = () => instances().find(({ url }) => url === one.url)?.isReady;
  await until(() => isIn() === false);
  const before = one.searches();
  await search(10);
  expect(one.searches()).toBe(before);
  behaviour.ready = true;
  await until(() => isIn() === true);
  await search(10);
  expect(one.searches()).toBe(before + 5);
});

test('instances come and go with the file that names them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'uitgo-upstreams-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const [one, two] = [startDriverInstance(), startDriverInstance()];
  const file = join(folder, 'driver');
  writeFileSync(file, `${one.url}\n`);
  const { search, instances } = await startCaller(`file://${file}`);
  await search(3);
  expect(one.searches()).toBe(3);
  writeFileSync(file, `${two.url}\n`);
  await until(() => instances()[0]?.url === two.url);
  await search(3);
  expect([one.searches(), two.searches()]).toEqual([3, 3]);
});
