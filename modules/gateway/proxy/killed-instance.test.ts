import { afterEach, expect, test } from 'bun:test';
import { systemClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { Problem } from '@platform/problems.ts';
import { createHealthChecks } from '@platform/upstream/health.ts';
import { createUpstream, type Upstream } from '@platform/upstream/upstream.ts';
import { awaitResponse, createServerRequest, type ServerRequestParts } from '@testing/http1-requests.ts';
import { until } from '@testing/until.ts';
import { createEdgeRouter } from '../routing/router.ts';
import { gatewaySettings } from '../settings.ts';
import { publicTestRoute } from '../testing/routes.ts';
import { createProxy } from './http.ts';

const clock = systemClock;
const log = createLog('silent');
const info = {
  requestId: 'a-request-id',
  clientAddress: () => '127.0.0.1',
  clientHost: () => undefined,
  clientProtocol: () => 'http',
  principal: undefined,
  dueMs: clock.nowMs() + 60_000,
};
const router = createEdgeRouter([
  publicTestRoute('GET', '/v1/trips'),
  publicTestRoute('GET', '/v1/trips/:id'),
  publicTestRoute('POST', '/v1/trips', { repeatability: 'with_key' }),
  publicTestRoute('POST', '/v1/trips/:id/accept'),
  publicTestRoute('PUT', '/v1/drivers/me/status', { owner: 'driver' }),
]);
/** Sends a request through the proxy as the edge does. */
function forward(proxy: ReturnType<typeof createProxy>, parts: ServerRequestParts) {
  const request = createServerRequest(parts);
  const match = router.match(request.method, request.path);
  if (match.kind !== 'public') throw new Error(`no route has ${request.path}`);
  return awaitResponse(proxy(request, { ...info, route: match.route }));
}
const settings = loadConfig(gatewaySettings, {});

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Starts a service in its own process. It takes some milliseconds for each response. */
async function startInstance() {
  const code = `
    const server = Bun.serve({ port: 0, hostname: '127.0.0.1', async fetch(request) {
      if (request.url.endsWith('/readyz')) return new Response('ok');
      await request.text();
      await Bun.sleep(2 + Math.random() * 6);
      return new Response('done ' + process.pid);
    } });
    console.log(server.url.origin);`;
  const child = Bun.spawn([process.execPath, '-e', code], { stdout: 'pipe', stderr: 'inherit' });
  cleanups.push(() => child.kill(9));
  const { value } = await child.stdout.getReader().read();
  return { child, url: new TextDecoder().decode(value).trim() };
}

function open(urls: readonly string[]): Upstream {
  const upstream = createUpstream({
    name: 'trip',
    urls,
    concurrencyMax: 200,
    connectTimeoutMs: 1_000,
    clock,
    log,
    metrics: createMetrics(),
  });
  cleanups.push(() => upstream.close());
  return upstream;
}

const proxyOf = (upstream: Upstream) =>
  createProxy({
    bodyBytesMax: 65_536,
    upstreams: {
      user: upstream,
      driver: upstream,
      trip: upstream,
      payment: upstream,
      notification: upstream,
    },
    settings,
    clock,
    log,
  });

test('killing one of three instances under load fails no repeatable request, and at most its requests in flight of the others', async () => {
  const instances = await Promise.all([startInstance(), startInstance(), startInstance()]);
  const upstream = open(instances.map(({ url }) => url));
  const doomed = upstream.instances().find(({ url }) => url === instances[0]?.url);
  let mostOnDoomed = 0;
  const proxy = proxyOf({
    ...upstream,
    acquire(notThis) {
      const lease = upstream.acquire(notThis);
      if (lease.instance === doomed) mostOnDoomed = Math.max(mostOnDoomed, doomed.inFlight);
      return lease;
    },
  });

  const requests: ServerRequestParts[] = [
    { target: '/v1/trips/x' },
    { target: '/v1/drivers/me/status', method: 'PUT', body: '{}' },
    { target: '/v1/trips', method: 'POST', body: '{}', headers: { 'idempotency-key': 'k' } },
    { target: '/v1/trips/x/accept', method: 'POST', body: '{}' },
  ];
  const [counts, failed]: [number[], string[][]] = [
    [0, 0, 0, 0],
    [[], [], [], []],
  ];
  let isLoading = true;
  const loads = Array.from({ length: 64 }, async (_, index) => {
    const kind = index % requests.length;
    while (isLoading) {
      try {
        const response = await forward(proxy, requests[kind] ?? {});
        expect(await response.text()).toStartWith('done');
        counts[kind] = (counts[kind] ?? 0) + 1;
      } catch (error) {
        failed[kind]?.push(error instanceof Problem ? error.code : String(error));
      }
    }
  });
  const waitForMore = (count: number) => {
    const from = Math.min(...counts);
    return until(() => Math.min(...counts) >= from + count);
  };
  await waitForMore(100);
  mostOnDoomed = doomed?.inFlight ?? 0;
  instances[0]?.child.kill(9);
  await waitForMore(300);
  isLoading = false;
  await Promise.all(loads);

  expect(failed.slice(0, 3)).toEqual([[], [], []]);
  expect(failed[3]?.length).toBeLessThanOrEqual(mostOnDoomed);
  // A request that may have been handled is always reported as lost.
  expect(new Set(failed[3])).toEqual(new Set(failed[3]?.length ? ['upstream.lost'] : []));
  expect(doomed?.inFlight).toBe(0);
});

test('an instance that hangs gets no requests from its first failed health check until one succeeds again', async () => {
  const [first, second] = await Promise.all([startInstance(), startInstance()]);
  const upstream = open([first.url, second.url]);
  const checks = createHealthChecks({ upstreams: [upstream], clock, log, intervalMs: 100 });
  await checks.start();
  cleanups.push(() => checks.stop());
  const frozen = upstream.instances().find(({ url }) => url === first.url);
  process.kill(first.child.pid, 'SIGSTOP');
  await until(() => frozen?.isReady === false);
  const proxy = proxyOf(upstream);
  for (let n = 0; n < 20; n++)
    expect(await (await forward(proxy, { target: '/v1/trips' })).text()).toBe(`done ${second.child.pid}`);
  process.kill(first.child.pid, 'SIGCONT');
  await until(() => frozen?.isReady === true);
});
