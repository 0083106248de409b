import { afterEach, beforeEach, expect, test } from 'bun:test';
import { LoginSession, Tokens } from '@contracts/people.ts';
import { RevocationsPage } from '@contracts/revocations.ts';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import { until } from '@testing/until.ts';
import {
  createTestUser,
  parseAs,
  problemCodeOf,
  type TestUser,
  type TestUserInstance,
} from '../testing/harness.ts';

let harness: TestUser;
let user: TestUserInstance;
beforeEach(async () => {
  harness = await createTestUser();
  user = harness.createInstance();
  await user.context.prepare();
});
afterEach(() => harness.close());

const hourMs = 60 * 60 * 1000;
const dayMs = 24 * hourMs;
const graceMs = 30_000;
const an = { email: 'an@example.com', password: 'correct horse 2', name: 'An', role: 'rider' } as const;

const register = async () =>
  parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body: an })).tokens;
const login = async () =>
  parseAs(
    LoginSession,
    await user.send('POST', '/v1/auth/login', { body: { email: an.email, password: an.password } }),
  ).tokens;
const refresh = (refreshToken: string) => user.send('POST', '/v1/auth/refresh', { body: { refreshToken } });
const logout = (refreshToken: string) => user.send('POST', '/v1/auth/logout', { body: { refreshToken } });

const me = (at: TestUserInstance, token: string) => at.send('GET', '/v1/users/me', { token });

async function expectRefused(refreshToken: string) {
  const answer = await refresh(refreshToken);
  expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.refresh_invalid']);
}

test('a refresh token is exchanged for new tokens of the same session, whose lifetime starts at the exchange', async () => {
  const first = await register();
  await harness.clock.advance(dayMs);
  const answer = await refresh(first.refreshToken);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  const second = parseAs(Tokens, answer);
  expect(second.refreshToken).not.toBe(first.refreshToken);
  expect(second.accessExpiresAt).toBe('2026-11-23T08:15:00.000Z');
  expect(second.refreshExpiresAt).toBe('2026-12-23T08:00:00.000Z');
  const principal = await user.verifier.verify(second.accessToken);
  expect(principal).toMatchObject({ role: 'rider' });
  expect(parseAs(Tokens, await refresh(second.refreshToken)).refreshToken).not.toBe(second.refreshToken);
});

test('the session id in the access token stays the same after a refresh, and differs between logins', async () => {
  const first = await register();
  const second = parseAs(Tokens, await refresh(first.refreshToken));
  const other = await login();
  const [a, b, c] = await Promise.all(
    [first, second, other].map(({ accessToken }) => user.verifier.verify(accessToken)),
  );
  expect(b?.sessionId).toBe(a?.sessionId);
  expect(c?.sessionId).not.toBe(a?.sessionId);
});

test('the late reuse of a refresh token ends its whole session, and no other', async () => {
  const first = await register();
  const elsewhere = await login();
  const second = parseAs(Tokens, await refresh(first.refreshToken));
  await harness.clock.advance(graceMs);
  await expectRefused(first.refreshToken);
  await expectRefused(second.refreshToken);
  expect((await refresh(elsewhere.refreshToken)).status).toBe(200);
  const warnings = harness.logLines.filter((line) => line.includes('used twice'));
  expect(warnings).toHaveLength(1);
});

test('a client that repeats a refresh within the grace period gets the same refresh token again', async () => {
  const first = await register();
  const lost = parseAs(Tokens, await refresh(first.refreshToken));
  await harness.clock.advance(graceMs - 1);
  const again = parseAs(Tokens, await refresh(first.refreshToken));
  expect(again.refreshToken).toBe(lost.refreshToken);
  expect(again.refreshExpiresAt).toBe(lost.refreshExpiresAt);
  expect(await user.verifier.verify(again.accessToken)).toMatchObject({ role: 'rider' });
  await harness.clock.advance(dayMs);
  expect((await refresh(again.refreshToken)).status).toBe(200);
});

test('a thief who uses the token within the grace period loses the session when thief and owner both continue', async () => {
  const first = await register();
  const owner = parseAs(Tokens, await refresh(first.refreshToken));
  const thief = parseAs(Tokens, await refresh(first.refreshToken));
  await harness.clock.advance(hourMs);
  const ahead = parseAs(Tokens, await refresh(thief.refreshToken));
  await harness.clock.advance(hourMs);
  await expectRefused(owner.refreshToken);
  await expectRefused(ahead.refreshToken);
});

test('the grace period ends when the successor is used, and repeated refreshes do not extend it', async () => {
  const first = await register();
  const second = parseAs(Tokens, await refresh(first.refreshToken));
  expect((await refresh(second.refreshToken)).status).toBe(200);
  await expectRefused(first.refreshToken);

  const third = await login();
  await refresh(third.refreshToken);
  await harness.clock.advance(graceMs - 1);
  expect((await refresh(third.refreshToken)).status).toBe(200);
  await harness.clock.advance(1);
  await expectRefused(third.refreshToken);
});

test('without a grace period a second use ends the session at once', async () => {
  const strict = harness.createInstance({ settings: { REFRESH_GRACE_SECONDS: '0' } });
  const { refreshToken } = await register();
  const body = { refreshToken };
  expect((await strict.send('POST', '/v1/auth/refresh', { body })).status).toBe(200);
  expect((await strict.send('POST', '/v1/auth/refresh', { body })).status).toBe(401);
});

test('concurrent refreshes with one token all get the same tokens, as two tabs of one browser need', async () => {
  const { refreshToken } = await register();
  const answers = await Promise.all(Array.from({ length: 6 }, () => refresh(refreshToken)));
  const tokens = new Set(answers.map((answer) => parseAs(Tokens, answer).refreshToken));
  expect(tokens.size).toBe(1);
  const [row] = await user.database.primary`select count(*)::int as tokens from refresh_tokens`;
  expect(row).toEqual({ tokens: 2 });
});

test('401 auth.refresh_invalid for tokens that are unknown, expired or altered', async () => {
  const { refreshToken, accessToken } = await register();
  await expectRefused('A'.repeat(43));
  await expectRefused(`${refreshToken}A`);
  await expectRefused(refreshToken.toLowerCase());
  const asAccess = await user.send('GET', '/v1/users/me', { token: refreshToken });
  expect([asAccess.status, problemCodeOf(asAccess)]).toEqual([401, 'auth.token_invalid']);
  const tooLong = await refresh(accessToken.padEnd(201, 'x'));
  expect([tooLong.status, problemCodeOf(tooLong)]).toEqual([400, 'request.invalid']);
  await harness.clock.advance(30 * dayMs);
  await expectRefused(refreshToken);
});

test('logout is 204 and ends the session, other logins stay, and a second logout is 204 too', async () => {
  const { refreshToken } = await register();
  const elsewhere = await login();
  const answer = await logout(refreshToken);
  expect([answer.status, answer.text]).toEqual([204, '']);
  await expectRefused(refreshToken);
  expect((await logout(refreshToken)).status).toBe(204);
  expect((await logout('B'.repeat(43))).status).toBe(204);
  expect((await refresh(elsewhere.refreshToken)).status).toBe(200);
});

test('logging out with a used refresh token ends its session', async () => {
  const first = await register();
  const second = parseAs(Tokens, await refresh(first.refreshToken));
  expect((await logout(first.refreshToken)).status).toBe(204);
  await expectRefused(second.refreshToken);
});

test('access tokens of an ended session are rejected within seconds by every verifier', async () => {
  const other = harness.createInstance();
  const { accessToken, refreshToken } = await register();
  const elsewhere = await login();
  expect((await me(other, accessToken)).status).toBe(200);
  await logout(refreshToken);
  await harness.clock.advance(3_000);
  for (const instance of [user, other]) {
    const answer = await me(instance, accessToken);
    expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_revoked']);
    expect((await me(instance, elsewhere.accessToken)).status).toBe(200);
  }
});

test('services can fetch the sessions that ended recently, and other callers get 403', async () => {
  const { accessToken, refreshToken } = await register();
  const { sessionId } = await user.verifier.verify(accessToken);
  await logout(refreshToken);
  const ask = (headers: Record<string, string>) =>
    user.send('GET', '/internal/user/revocations?sinceMs=0', { headers });
  const page = parseAs(RevocationsPage, await ask(serviceAuthHeaders('user', harness.clock)));
  expect(page.sessions).toEqual([{ id: sessionId, atMs: harness.clock.nowMs() }]);
  expect(page.more).toBe(false);
  for (const headers of [
    {},
    { 'x-service-token': 'x'.repeat(32) },
    { authorization: `Bearer ${accessToken}` },
  ]) {
    const answer = await ask(headers);
    expect([answer.status, problemCodeOf(answer)]).toEqual([403, 'auth.service_forbidden']);
  }
  await harness.clock.advance(hourMs);
  expect(parseAs(RevocationsPage, await ask(serviceAuthHeaders('user', harness.clock))).sessions).toEqual([]);
});

test('verifiers read a list of ended sessions that is longer than a page to its end', async () => {
  await register();
  await user.database.primary`
    insert into sessions (id, person_id, created_at_ms, expires_at_ms, revoked_at_ms, revoked_for)
    select gen_random_uuid(), id, 0, ${harness.clock.nowMs() + dayMs}, ${harness.clock.nowMs()}, 'logout'
    from people, generate_series(1, 2500)`;
  const { accessToken } = await login();
  expect((await me(user, accessToken)).status).toBe(200);
  expect(user.metrics.text()).toContain('auth_revoked_sessions 2500');
});

test('a new role is in the next access token', async () => {
  const { refreshToken } = await register();
  await user.database.primary`update people set role = 'driver'`;
  const { accessToken } = parseAs(Tokens, await refresh(refreshToken));
  expect(await user.verifier.verify(accessToken)).toMatchObject({ role: 'driver' });
});

test('expired tokens and sessions are swept, live ones are not', async () => {
  const first = await register();
  await harness.clock.advance(20 * dayMs);
  const { refreshToken } = parseAs(Tokens, await refresh(first.refreshToken));
  const count = async () => {
    const [row] = await user.database.primary`
      select (select count(*)::int from refresh_tokens) as tokens, (select count(*)::int from sessions) as sessions`;
    return row;
  };
  const sweptTo = (expected: unknown) =>
    until(
      async () => {
        await harness.clock.advance(hourMs);
        return Bun.deepEquals(await count(), expected);
      },
      { describe: `the sweeper to leave ${JSON.stringify(expected)}` },
    );
  const sweeper = user.context.workers.find(({ name }) => name === 'user.sweep');
  await sweeper?.start();
  await harness.clock.advance(11 * dayMs);
  await sweptTo({ tokens: 1, sessions: 1 });
  expect((await refresh(refreshToken)).status).toBe(200);
  await harness.clock.advance(31 * dayMs);
  await sweptTo({ tokens: 0, sessions: 0 });
  await sweeper?.stop();
});
