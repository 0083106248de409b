import { afterEach, describe, expect, test } from 'bun:test';
import { publicUndocumented } from '@platform/auth/route-access.ts';
import type { Context } from '@platform/context.ts';
import { UpgradeResponse } from '@platform/http/server.ts';
import { Type } from '@sinclair/typebox';
import { completeSettings } from '@testing/processes.ts';
import { until } from '@testing/until.ts';
import { Elysia } from 'elysia';
import { processCommand } from '../tools/local/fleet.ts';
import { findFreePort } from '../tools/servers/ports.ts';
import { createRuntime, type RunningProcess } from './process.ts';
import { startService } from './service.ts';

let running: Promise<RunningProcess> | undefined;
afterEach(async () => {
  await (await running?.catch(() => undefined))?.stop();
  running = undefined;
});

/** Starts a service whose context is prepared when `prepared` settles. */
async function startThings(prepared: Promise<void>, env: Record<string, string> = {}) {
  const runtime = createRuntime('things', Type.Object({}), {
    PORT: String(await findFreePort()),
    LOG_LEVEL: 'silent',
    ...env,
  });
  let handledCount = 0;
  const context: Context = {
    name: 'things',
    routes: new Elysia({ detail: publicUndocumented }).get('/v1/things', () => ({
      answered: ++handledCount,
    })),
    socketRoutes: [
      {
        path: '/v1/things/live',
        accept: () => new UpgradeResponse({ open: ({ close }) => close(), message() {}, close() {} }),
      },
    ],
    prepare: () => prepared,
    workers: [],
    readinessChecks: {},
  };
  const url = `http://127.0.0.1:${runtime.settings.PORT}`;
  running = startService(runtime, context, {});
  const request = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}${path}`, init);
    const { code } = (await response.json()) as { code?: string };
    return { status: response.status, code, retryAfter: response.headers.get('retry-after') };
  };
  return { request, handledCount: () => handledCount };
}

const starting = { status: 503, code: 'service.unavailable', retryAfter: '1' };

describe('a process that is not prepared yet', () => {
  test('is alive but not ready, and answers other requests with 503 and Retry-After', async () => {
    const prepared = Promise.withResolvers<void>();
    const { request, handledCount } = await startThings(prepared.promise);
    expect(await request('/healthz')).toMatchObject({ status: 200 });
    expect(await request('/readyz')).toMatchObject({ status: 503 });
    const handshake = { headers: { upgrade: 'websocket', connection: 'upgrade' } };
    expect(await request('/v1/things')).toEqual(starting);
    expect(await request('/v1/nothing', { method: 'POST', body: '{}' })).toEqual(starting);
    expect(await request('/v1/things/live', handshake)).toEqual(starting);
    expect(handledCount()).toBe(0);

    prepared.resolve();
    await running;
    expect(await request('/readyz')).toMatchObject({ status: 200 });
    expect(await request('/v1/things')).toMatchObject({ status: 200 });
  });

  test('does not listen on a shared port, where it would take requests from prepared processes', async () => {
    const prepared = Promise.withResolvers<void>();
    const { request } = await startThings(prepared.promise, { REUSE_PORT: 'yes' });
    await expect(request('/healthz')).rejects.toThrow();
    prepared.resolve();
    await running;
    expect(await request('/v1/things')).toMatchObject({ status: 200 });
  });

  test('stops listening when its preparation fails', async () => {
    const prepared = Promise.withResolvers<void>();
    const { request } = await startThings(prepared.promise);
    expect(await request('/healthz')).toMatchObject({ status: 200 });
    prepared.reject(new Error('a migration was changed after it ran'));
    await expect(running).rejects.toThrow('a migration was changed');
    await expect(request('/healthz')).rejects.toThrow();
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('exits with code 0 on %s', async (signal) => {
    const port = await findFreePort();
    // Its database is unreachable, so the process is never prepared.
    const env = { ...completeSettings, PORT: String(port), LOG_LEVEL: 'silent' };
    const child = Bun.spawn(processCommand('user', undefined), { env, stdout: 'ignore', stderr: 'pipe' });
    const url = `http://127.0.0.1:${port}`;
    await until(() => fetch(`${url}/healthz`).then(({ ok }) => ok), { timeoutMs: 20_000 });
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    child.kill(signal);
    expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, '']);
  });
});
