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

  test('the example of docs/client.md runs as it stands', async () => {
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

  test('a problem is an error with its code, and no answer is told as fetch tells it', async () => {
    const client = createUitGoClient(system.url);
    const refused = client.login({ email: 'nobody@example.com', password: 'wrong horse' });
    await expect(refused).rejects.toThrow(ProblemError);
    await refused.catch((error: ProblemError) =>
      expect([error.status, error.problem?.code]).toEqual([401, 'auth.credentials_invalid']),
    );
    const nowhere = createUitGoClient('http://127.0.0.1:1');
    const lost = await nowhere.unwrap(nowhere.api.users.me.get()).catch((error: unknown) => error);
    expect(lost).toBeInstanceOf(Error);
    expect(lost).not.toBeInstanceOf(ProblemError);
  });
});

describe('renewing tokens', () => {
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

  /** An edge of which only the newest access token is good. */
  let good = 2;
  let renewals: string[] = [];
  let refusal: (() => Response) | undefined;
  const received: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      if (new URL(request.url).pathname === '/v1/auth/refresh') {
        const { refreshToken } = (await request.json()) as { refreshToken: string };
        renewals.push(refreshToken);
        return refusal?.() ?? Response.json(tokensOf(good));
      }
      received.push(`${request.method} ${await request.text()}`);
      return request.headers.get('authorization') === `Bearer access-${good}`
        ? Response.json({ items: [], nextCursor: null })
        : problem(401, 'auth.token_expired');
    },
  });
  const url = `http://127.0.0.1:${server.port}`;
  afterEach(() => {
    [good, renewals, refusal, received.length] = [2, [], undefined, 0];
  });
  afterAll(() => server.stop(true));

  test('calls under way share one renewal, and each is sent again as it was', async () => {
    const kept: (Tokens | undefined)[] = [];
    const client = createUitGoClient(url, { tokens: tokensOf(1), onTokens: (tokens) => kept.push(tokens) });
    const calls = Array.from({ length: 8 }, () => client.unwrap(client.api.trips.get()));
    expect(await Promise.all(calls)).toHaveLength(8);
    expect(renewals).toEqual([tokensOf(1).refreshToken]);
    expect(kept).toEqual([tokensOf(2)]);
    received.length = 0;
    good = 3;
    await client
      .unwrap(client.api.auth.login.post({ email: 'a@b.cd', password: 'x' }))
      .catch(() => undefined);
    const body = '{"email":"a@b.cd","password":"x"}';
    expect(received).toEqual([`POST ${body}`, `POST ${body}`]);
  });

  test('a session that has ended is told once, and the call’s own problem is what is thrown', async () => {
    const kept: (Tokens | undefined)[] = [];
    const client = createUitGoClient(url, { tokens: tokensOf(1), onTokens: (tokens) => kept.push(tokens) });
    refusal = () => problem(401, 'auth.refresh_invalid');
    await expect(client.unwrap(client.api.trips.get())).rejects.toThrow('auth.token_expired');
    expect(kept).toEqual([undefined]);
  });

  test('while the server is away nobody is thrown out', async () => {
    const kept: (Tokens | undefined)[] = [];
    const client = createUitGoClient(url, { tokens: tokensOf(1), onTokens: (tokens) => kept.push(tokens) });
    refusal = () => problem(503, 'service.unavailable');
    await expect(client.unwrap(client.api.trips.get())).rejects.toThrow('auth.token_expired');
    expect(kept).toEqual([]);
    refusal = undefined;
    await client.unwrap(client.api.trips.get());
    expect(kept).toEqual([tokensOf(2)]);
  });
});
