import { afterEach, describe, expect, test } from 'bun:test';
import { publicUndocumented } from '@platform/auth/route-access.ts';
import type { Context } from '@platform/context.ts';
import { UpgradeResponse } from '@platform/http/server.ts';
import { Type } from '@sinclair/typebox';
import { completeSettings } from '@testing/processes.ts';
import { until } from '@testing/until.ts';
import { Elysia } from 'elysia';
import { processCommand } from '../tools/fleet.ts';
import { findFreePort } from '../tools/servers/ports.ts';
import { createRuntime, type RunningProcess } from './process.ts';
import { startService } from './service.ts';

let running: Promise<RunningProcess> | undefined;
afterEach(async () => {
  await (await running?.catch(() => undefined))?.stop();
  running = undefined;
});

/** A service whose context is prepared when `prepared` settles. */
async function startThings(prepared: Promise<void>, env: Record<string, string> = {}) {
  const runtime = createRuntime('things', Type.Object({}), {
    PORT: String(await findFreePort()),
    LOG_LEVEL: 'silent',
    ...env,
  });
  let answered = 0;
  const context: Context = {
    name: 'things',
    routes: new Elysia({ detail: publicUndocumented }).get('/v1/things', () => ({ answered: ++answered })),
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
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}${path}`, init);
    const { code } = (await response.json()) as { code?: string };
    return { status: response.status, code, retryAfter: response.headers.get('retry-after') };
  };
  return { ask, answered: () => answered };
}

const starting = { status: 503, code: 'service.unavailable', retryAfter: '1' };

describe('a process that is not prepared yet', () => {
  test('is alive and not ready, and answers everything else with 503 and Retry-After', async () => {
    const prepared = Promise.withResolvers<void>();
    const { ask, answered } = await startThings(prepared.promise);
    expect(await ask('/healthz')).toMatchObject({ status: 200 });
    expect(await ask('/readyz')).toMatchObject({ status: 503 });
    const handshake = { headers: { upgrade: 'websocket', connection: 'upgrade' } };
    expect(await ask('/v1/things')).toEqual(starting);
    expect(await ask('/v1/nothing', { method: 'POST', body: '{}' })).toEqual(starting);
    expect(await ask('/v1/things/live', handshake)).toEqual(starting);
    expect(answered()).toBe(0);

    prepared.resolve();
    await running;
    expect(await ask('/readyz')).toMatchObject({ status: 200 });
    expect(await ask('/v1/things')).toMatchObject({ status: 200 });
  });

  test('does not listen at a port that it shares, where it would take requests from those that are prepared', async () => {
    const prepared = Promise.withResolvers<void>();
    const { ask } = await startThings(prepared.promise, { REUSE_PORT: 'yes' });
    await expect(ask('/healthz')).rejects.toThrow();
    prepared.resolve();
    await running;
    expect(await ask('/v1/things')).toMatchObject({ status: 200 });
  });

  test('stops listening when it can not be prepared', async () => {
    const prepared = Promise.withResolvers<void>();
    const { ask } = await startThings(prepared.promise);
    expect(await ask('/healthz')).toMatchObject({ status: 200 });
    prepared.reject(new Error('a migration was changed after it ran'));
    await expect(running).rejects.toThrow('a migration was changed');
    await expect(ask('/healthz')).rejects.toThrow();
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('ends with code 0 at a %s', async (signal) => {
    const port = await findFreePort();
    // Its database is away, so that it is never prepared.
    const env = { ...completeSettings, PORT: String(port), LOG_LEVEL: 'silent' };
    const child = Bun.spawn(processCommand('user', undefined), { env, stdout: 'ignore', stderr: 'pipe' });
    const url = `http://127.0.0.1:${port}`;
    await until(() => fetch(`${url}/healthz`).then(({ ok }) => ok), { timeoutMs: 20_000 });
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    child.kill(signal);
    expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, '']);
  });
});
