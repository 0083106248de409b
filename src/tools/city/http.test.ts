import { afterEach, describe, expect, test } from 'bun:test';
import { type Clock, systemClock } from '@platform/clock.ts';
import { createSeededRandom } from '@platform/random.ts';
import { Type } from '@sinclair/typebox';
import { problemAnswer } from '@testing/fake-edge.ts';
import { compileSchema, createApiTransport } from './http.ts';
import { createCityTally } from './tally.ts';

const Answer = compileSchema(Type.Object({ at: Type.Integer() }));
const servers: ReturnType<typeof Bun.serve>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

/** A server that gives these responses one after the other and repeats the last; null closes the connection. */
function client(...answers: (() => Response)[]) {
  const requests: { key: string | null; body: string }[] = [];
  const waits: number[] = [];
  let nowMs = 0;
  const clock: Clock = {
    nowMs: () => nowMs,
    async sleep(ms) {
      waits.push(ms);
      nowMs += ms;
      await Promise.resolve();
    },
  };
  const server = Bun.serve({
    port: 0,
    async fetch(request) {
      requests.push({ key: request.headers.get('idempotency-key'), body: await request.text() });
      return (
        answers[Math.min(requests.length, answers.length) - 1]?.() ?? new Response(null, { status: 500 })
      );
    },
  });
  servers.push(server);
  const tally = createCityTally();
  const baseUrl = `http://127.0.0.1:${server.port}`;
  const http = createApiTransport({
    baseUrl,
    clock,
    random: createSeededRandom(1),
    tally,
    requestTimeoutMs: 500,
  });
  const { signal } = new AbortController();
  const create = (retryForMs?: number) =>
    http.send({
      ...{
        method: 'POST',
        path: '/things',
        body: { a: 1 },
        idempotencyKey: 'key-1',
        responseSchema: Answer,
        signal,
      },
      ...(retryForMs === undefined ? {} : { retryForMs }),
    } as const);
  return { create, requests, waits, tally, server, http };
}

const fine = () => Response.json({ at: 7 }, { status: 201 });
const unavailable = () => problemAnswer(503, 'service.unavailable', { 'retry-after': '2' });

describe('an API call', () => {
  test('during an outage is retried with the same key and body, not before Retry-After', async () => {
    const { create, requests, waits, tally } = client(unavailable, unavailable, fine);
    expect(await create()).toEqual({ ok: true, value: { at: 7 } });
    expect(requests).toEqual(Array(3).fill({ key: 'key-1', body: '{"a":1}' }));
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(2000);
    expect(tally.retried).toBe(2);
    expect(tally.errors.size).toBe(0);
  });

  test('that is rejected returns the problem code and is not retried', async () => {
    const { create, requests } = client(() => problemAnswer(409, 'trip.rider_busy'));
    expect(await create()).toMatchObject({
      ok: false,
      code: 'trip.rider_busy',
      status: 409,
      isOutcomeUnknown: false,
    });
    expect(requests.length).toBe(1);
  });

  test('that is rejected after an attempt without a response reports an unknown outcome', async () => {
    const { create } = client(unavailable, () => problemAnswer(409, 'trip.wrong_state'));
    expect(await create()).toMatchObject({ code: 'trip.wrong_state', isOutcomeUnknown: true });
  });

  test('that is rejected after a rate limit reports that it was not applied', async () => {
    const limited = () => problemAnswer(429, 'limit.exceeded', { 'retry-after': '1' });
    const { create } = client(limited, () => problemAnswer(409, 'trip.wrong_state'));
    expect(await create()).toMatchObject({ code: 'trip.wrong_state', isOutcomeUnknown: false });
  });

  test('fails when the outage outlasts the retries', async () => {
    const { create, tally } = client(unavailable);
    expect(await create(10_000)).toMatchObject({ ok: false, code: 'service.unavailable', status: 503 });
    expect(tally.retried).toBeGreaterThan(1);
    expect(tally.retried).toBeLessThan(10);
  });

  test('without retries is sent once', async () => {
    const { create, requests } = client(unavailable);
    expect(await create(0)).toMatchObject({ ok: false, code: 'service.unavailable' });
    expect(requests.length).toBe(1);
  });

  test('without a server fails as unreachable', async () => {
    const { create, server } = client(fine);
    await server.stop(true);
    expect(await create(1000)).toMatchObject({ ok: false, code: 'network.unreachable', status: null });
  });

  test('with an unexpected response body fails with the location of the error', async () => {
    const { create } = client(() => Response.json({ at: 'noon' }));
    expect(await create()).toMatchObject({
      code: 'answer.unexpected',
      detail: expect.stringContaining('/at'),
    });
  });

  test('that is rejected without a problem reports the status', async () => {
    const { create } = client(() => new Response('oops', { status: 500 }));
    expect(await create()).toMatchObject({ ok: false, code: 'http.500', detail: 'oops' });
  });
});

test('is not retried after the city has closed', async () => {
  const { http, server } = client(unavailable);
  await server.stop(true);
  const closed = new AbortController();
  closed.abort();
  const call = { method: 'GET', path: '/', responseSchema: Answer, signal: closed.signal } as const;
  const startedMs = systemClock.nowMs();
  expect(await http.send(call)).toMatchObject({ ok: false, code: 'city.closed' });
  expect(systemClock.nowMs() - startedMs).toBeLessThan(10_000);
});
