import { afterEach, describe, expect, test } from 'bun:test';
import { until } from '@testing/until.ts';
import { systemClock as clock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { createUpstreamFetch, type UpstreamCall } from './fetch.ts';
import { createUpstreamSend } from './send.ts';
import { createUpstream } from './upstream.ts';

const log = createLog('silent');
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Handler = (request: Request) => Response | Promise<Response>;

function startInstance(handler: Handler) {
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: handler });
  cleanups.push(() => server.stop(true));
  return server.url.origin;
}

/** Reads a complete request, then closes its connection without an answer. */
function startDyingInstance() {
  let requests = 0;
  const server = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      data(socket) {
        requests++;
        socket.end();
      },
    },
  });
  cleanups.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}`, requests: () => requests };
}

function callsTo(urls: readonly string[], timeoutMs = 5_000) {
  const metrics = createMetrics();
  const upstream = createUpstream({
    name: 'driver',
    urls,
    concurrencyMax: 50,
    connectTimeoutMs: 1_000,
    clock,
    log,
    metrics,
  });
  cleanups.push(() => upstream.close());
  const send = createUpstreamSend({ clock, log, attemptsMax: 2, timeoutMs });
  const fetchUpstream = createUpstreamFetch({ upstream, send, clock });
  const call = (options: Partial<UpstreamCall> = {}) =>
    fetchUpstream({ target: '/things', timeoutMs: 2_000, isRepeatable: false, ...options });
  return { call, upstream, failures: () => /^upstream_failures_total.*$/m.exec(metrics.text())?.[0] };
}

test('a call and its answer arrive unchanged', async () => {
  const url = startInstance(async (request) =>
    Response.json(
      {
        method: request.method,
        path: new URL(request.url).pathname + new URL(request.url).search,
        token: request.headers.get('x-service-token'),
        type: request.headers.get('content-type'),
        body: await request.text(),
      },
      { status: 201, headers: { 'x-answer': 'yes' } },
    ),
  );
  const answer = await callsTo([url]).call({
    method: 'POST',
    target: '/internal/things?from=2026-11-30',
    headers: { 'x-service-token': 'secret', 'content-type': 'application/json' },
    body: '{"name":"Nguyễn 🚕"}',
  });
  expect([answer.status, answer.headers.get('x-answer')]).toEqual([201, 'yes']);
  expect(await answer.json()).toEqual({
    method: 'POST',
    path: '/internal/things?from=2026-11-30',
    token: 'secret',
    type: 'application/json',
    body: '{"name":"Nguyễn 🚕"}',
  });
});

test('an answer without a body and a streamed answer are complete', async () => {
  const long = 'x'.repeat(300_000);
  const url = startInstance((request) =>
    request.url.endsWith('/none') ? new Response(null, { status: 204 }) : new Response(long),
  );
  const { call } = callsTo([url]);
  expect((await call({ target: '/none' })).status).toBe(204);
  expect(await (await call()).text()).toBe(long);
});

test('a header value with a line end is rejected before anything is sent', async () => {
  let requests = 0;
  const url = startInstance(() => new Response(String(++requests)));
  await expect(callsTo([url]).call({ headers: { 'x-a': 'b\r\nx-c: d' } })).rejects.toThrow('x-a');
  expect(requests).toBe(0);
});

describe('with two instances', () => {
  test('calls are balanced over both', async () => {
    const seen = [0, 0];
    const { call } = callsTo(
      [0, 1].map((at) =>
        startInstance(() => {
          seen[at] = (seen[at] ?? 0) + 1;
          return new Response('ok');
        }),
      ),
    );
    for (let n = 0; n < 20; n++) await (await call()).text();
    expect(seen).toEqual([10, 10]);
  });

  test('any call is retried on the other one when nothing listens on the first', async () => {
    const gone = startInstance(() => new Response('gone'));
    await cleanups.pop()?.();
    const { call } = callsTo([gone, startInstance(() => new Response('there'))]);
    for (let n = 0; n < 4; n++)
      expect(await (await call({ method: 'POST', body: '{}' })).text()).toBe('there');
  });

  test('a call that was sent and lost is retried on the other one only when it is repeatable', async () => {
    const dying = startDyingInstance();
    const { call } = callsTo([dying.url, startInstance(() => new Response('there'))]);
    const codes = await Promise.all(
      [0, 1].map(() =>
        call({ method: 'POST', body: '{}' }).then(
          () => 'answered',
          ({ code }) => code,
        ),
      ),
    );
    expect(codes.toSorted()).toEqual(['answered', 'upstream.lost']);
    const repeated = await Promise.all(
      [0, 1, 2, 3].map(async () => (await call({ method: 'POST', body: '{}', isRepeatable: true })).text()),
    );
    expect(repeated).toEqual(['there', 'there', 'there', 'there']);
    expect(dying.requests()).toBeGreaterThan(1);
  });
});

describe('an instance that does not answer in time', () => {
  const startSilent = () => startInstance(() => new Promise<Response>(() => undefined));

  test('has not failed when our deadline was shorter than its timeout', async () => {
    const { call, failures } = callsTo([startSilent()], 5_000);
    await expect(call({ timeoutMs: 100 })).rejects.toMatchObject({ code: 'upstream.timeout' });
    expect(failures()).toBeUndefined();
  });

  test('has failed when it had its full timeout and does not answer a probe either', async () => {
    const { call, failures } = callsTo([startSilent()], 100);
    await expect(call({ timeoutMs: 150 })).rejects.toMatchObject({ code: 'upstream.timeout' });
    await until(() => failures()?.includes('outcome="failed"'), { timeoutMs: 15_000, actual: failures });
  });

  test('stays available however many calls ended early', async () => {
    const { call, upstream } = callsTo([startSilent()], 60_000);
    await Promise.allSettled(Array.from({ length: 40 }, () => call({ timeoutMs: 60 })));
    await until(() => upstream.instances()[0]?.inFlight === 0);
    const [instance] = upstream.instances();
    expect([instance?.consecutiveFailures, instance?.ejectedUntilMs]).toEqual([0, 0]);
    expect(() => upstream.acquire().release('unknown')).not.toThrow();
  });
});
