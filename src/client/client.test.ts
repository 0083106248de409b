import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Tokens } from '@contracts/people.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';
import { createUitGoClient, ProblemError } from './index.ts';

const root = join(import.meta.dir, '../..');

describe('against the real system', () => {
  let system: RunningSystem;
  const script = join(root, 'src/client', `snippet-${process.pid}.ts`);
  beforeAll(async () => {
    system = await startSystem('one process, embedded adapters');
  }, 60_000);
  afterAll(async () => {
    rmSync(script, { force: true });
    await system?.stop();
  }, 60_000);

  test('the example in docs/client.md runs unchanged', async () => {
    const page = await Bun.file(join(root, 'docs/client.md')).text();
    await Bun.write(script, page.match(/```ts\n([\s\S]*?)```/)?.[1] ?? '');
    const child = Bun.spawn([process.execPath, script], {
      cwd: root,
      env: { PATH: process.env.PATH ?? '', URL: system.url },
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    expect([code, err]).toEqual([0, '']);
    const [hello, fare, sameTrip, ...rest] = out.trim().split('\n');
    expect([hello, sameTrip, rest.at(-1)]).toEqual(['hello Linh', 'true', 'trip.wrong_state']);
    expect(fare).toMatch(/^\d+ VND$/);
    expect(rest.join(' ')).toContain('welcome');
  }, 30_000);

  test('a problem is thrown with its code, and a call without a response rejects as fetch does', async () => {
    const client = createUitGoClient(system.url);
    const failedLogin = client.login({ email: 'nobody@example.com', password: 'wrong horse' });
    await expect(failedLogin).rejects.toThrow(ProblemError);
    await failedLogin.catch((error: ProblemError) =>
      expect([error.status, error.problem?.code]).toEqual([401, 'auth.credentials_invalid']),
    );
    const disconnected = createUitGoClient('http://127.0.0.1:1');
    const lost = await disconnected.unwrap(disconnected.api.users.me.get()).catch((error: unknown) => error);
    expect(lost).toBeInstanceOf(Error);
    expect(lost).not.toBeInstanceOf(ProblemError);
  });
});

describe('refreshing tokens', () => {
  const tokensOf = (generation: number): Tokens => ({
    accessToken: `access-${generation}`,
    accessExpiresAt: '2026-11-25T08:00:00.000Z',
    refreshToken: `refresh-${generation}`.padEnd(20, '-'),
    refreshExpiresAt: '2026-12-25T08:00:00.000Z',
  });
  const problem = (status: number, code: string) =>
    Response.json(
      { type: `urn:uit-go:problem:${code}`, title: code, status, code },
      { status, headers: { 'content-type': 'application/problem+json' } },
    );

  /** The test server accepts only the newest access token. */
  let validGeneration = 2;
  let refreshes: string[] = [];
  let failRefresh: (() => Response) | undefined;
  const received: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      if (new URL(request.url).pathname === '/v1/auth/refresh') {
        const { refreshToken } = (await request.json()) as { refreshToken: string };
        refreshes.push(refreshToken);
        return failRefresh?.() ?? Response.json(tokensOf(validGeneration));
      }
      received.push(`${request.method} ${await request.text()}`);
      return request.headers.get('authorization') === `Bearer access-${validGeneration}`
        ? Response.json({ items: [], nextCursor: null })
        : problem(401, 'auth.token_expired');
    },
  });
  const url = `http://127.0.0.1:${server.port}`;
  afterEach(() => {
    [validGeneration, refreshes, failRefresh, received.length] = [2, [], undefined, 0];
  });
  afterAll(() => server.stop(true));

  test('calls in flight share one refresh, and each is sent again unchanged', async () => {
    const stored: (Tokens | undefined)[] = [];
    const client = createUitGoClient(url, { tokens: tokensOf(1), onTokens: (tokens) => stored.push(tokens) });
    const calls = Array.from({ length: 8 }, () => client.unwrap(client.api.trips.get()));
    expect(await Promise.all(calls)).toHaveLength(8);
    expect(refreshes).toEqual([tokensOf(1).refreshToken]);
    expect(stored).toEqual([tokensOf(2)]);
    received.length = 0;
    validGeneration = 3;
    await client
      .unwrap(client.api.auth.login.post({ email: 'a@b.cd', password: 'x' }))
      .catch(() => undefined);
    const body = '{"email":"a@b.cd","password":"x"}';
    expect(received).toEqual([`POST ${body}`, `POST ${body}`]);
  });

  test('an ended session is reported once, and the call throws its own problem', async () => {
    const stored: (Tokens | undefined)[] = [];
    const client = createUitGoClient(url, { tokens: tokensOf(1), onTokens: (tokens) => stored.push(tokens) });
    failRefresh = () => problem(401, 'auth.refresh_invalid');
    await expect(client.unwrap(client.api.trips.get())).rejects.toThrow('auth.token_expired');
    expect(stored).toEqual([undefined]);
  });

  test('while the server is unavailable the session is kept', async () => {
    const stored: (Tokens | undefined)[] = [];
    const client = createUitGoClient(url, { tokens: tokensOf(1), onTokens: (tokens) => stored.push(tokens) });
    failRefresh = () => problem(503, 'service.unavailable');
    await expect(client.unwrap(client.api.trips.get())).rejects.toThrow('auth.token_expired');
    expect(stored).toEqual([]);
    failRefresh = undefined;
    await client.unwrap(client.api.trips.get());
    expect(stored).toEqual([tokensOf(2)]);
  });
});
