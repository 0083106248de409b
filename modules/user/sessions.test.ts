import { afterEach, beforeEach, expect, test } from 'bun:test';
import { Session, Tokens } from '@contracts/people.ts';
import { until } from '@testing/until.ts';
import { codeOf, createTestUser, readAs, type TestUser, type TestUserInstance } from '@testing/user.ts';

let world: TestUser;
let user: TestUserInstance;
beforeEach(async () => {
  world = await createTestUser();
  user = world.instance();
  await user.context.prepare();
});
afterEach(() => world.close());

const hourMs = 60 * 60 * 1000;
const dayMs = 24 * hourMs;
const an = { email: 'an@example.com', password: 'correct horse 2', name: 'An', role: 'rider' } as const;

const register = async () =>
  readAs(Session, await user.send('POST', '/v1/auth/register', { body: an })).tokens;
const login = async () =>
  readAs(
    Session,
    await user.send('POST', '/v1/auth/login', { body: { email: an.email, password: an.password } }),
  ).tokens;
const refresh = (refreshToken: string) => user.send('POST', '/v1/auth/refresh', { body: { refreshToken } });
const logout = (refreshToken: string) => user.send('POST', '/v1/auth/logout', { body: { refreshToken } });

async function expectRefused(refreshToken: string) {
  const answer = await refresh(refreshToken);
  expect([answer.status, codeOf(answer)]).toEqual([401, 'auth.refresh_invalid']);
}

test('a refresh token buys a new pair for the same session, and lives on from that moment', async () => {
  const first = await register();
  await world.clock.advance(dayMs);
  const answer = await refresh(first.refreshToken);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  const second = readAs(Tokens, answer);
  expect(second.refreshToken).not.toBe(first.refreshToken);
  expect(second.accessExpiresAt).toBe('2026-11-23T08:15:00.000Z');
  expect(second.refreshExpiresAt).toBe('2026-12-23T08:00:00.000Z');
  const principal = await user.verifier.verify(second.accessToken);
  expect(principal).toMatchObject({ role: 'rider' });
  expect(readAs(Tokens, await refresh(second.refreshToken)).refreshToken).not.toBe(second.refreshToken);
});

test('the session id in the token stays the same through refreshes, and differs between logins', async () => {
  const first = await register();
  const second = readAs(Tokens, await refresh(first.refreshToken));
  const other = await login();
  const [a, b, c] = await Promise.all(
    [first, second, other].map(({ accessToken }) => user.verifier.verify(accessToken)),
  );
  expect(b?.sessionId).toBe(a?.sessionId);
  expect(c?.sessionId).not.toBe(a?.sessionId);
});

test('a refresh token that is used twice ends its whole session, and no other', async () => {
  const first = await register();
  const elsewhere = await login();
  const second = readAs(Tokens, await refresh(first.refreshToken));
  await expectRefused(first.refreshToken);
  await expectRefused(second.refreshToken);
  expect((await refresh(elsewhere.refreshToken)).status).toBe(200);
  const warnings = world.logged.filter((line) => line.includes('used twice'));
  expect(warnings).toHaveLength(1);
});

test('of many who use one refresh token at the same moment one gets a pair, and the session ends', async () => {
  const { refreshToken } = await register();
  const answers = await Promise.all(Array.from({ length: 4 }, () => refresh(refreshToken)));
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401]);
  for (const answer of answers) {
    if (answer.status === 200) await expectRefused(readAs(Tokens, answer).refreshToken);
  }
});

test('401 auth.refresh_invalid for tokens that are unknown, expired or altered', async () => {
  const { refreshToken, accessToken } = await register();
  await expectRefused('A'.repeat(43));
  await expectRefused(`${refreshToken}A`);
  await expectRefused(refreshToken.toLowerCase());
  const asAccess = await user.send('GET', '/v1/users/me', { token: refreshToken });
  expect([asAccess.status, codeOf(asAccess)]).toEqual([401, 'auth.token_invalid']);
  const tooLong = await refresh(accessToken.padEnd(201, 'x'));
  expect([tooLong.status, codeOf(tooLong)]).toEqual([400, 'request.invalid']);
  await world.clock.advance(30 * dayMs);
  await expectRefused(refreshToken);
});

test('204 on logout: the refresh token is dead, other logins live on, and leaving twice is no error', async () => {
  const { refreshToken } = await register();
  const elsewhere = await login();
  const answer = await logout(refreshToken);
  expect([answer.status, answer.text]).toEqual([204, '']);
  await expectRefused(refreshToken);
  expect((await logout(refreshToken)).status).toBe(204);
  expect((await logout('B'.repeat(43))).status).toBe(204);
  expect((await refresh(elsewhere.refreshToken)).status).toBe(200);
});

test('logging out with a token that was spent ends the session it was spent in', async () => {
  const first = await register();
  const second = readAs(Tokens, await refresh(first.refreshToken));
  expect((await logout(first.refreshToken)).status).toBe(204);
  await expectRefused(second.refreshToken);
});

test('a new role shows in the next pair of tokens', async () => {
  const { refreshToken } = await register();
  await user.database.primary`update people set role = 'driver'`;
  const { accessToken } = readAs(Tokens, await refresh(refreshToken));
  expect(await user.verifier.verify(accessToken)).toMatchObject({ role: 'driver' });
});

test('expired tokens and sessions are swept; live ones are not', async () => {
  const first = await register();
  await world.clock.advance(20 * dayMs);
  const { refreshToken } = readAs(Tokens, await refresh(first.refreshToken));
  const count = async () => {
    const [row] = await user.database.primary`
      select (select count(*)::int from refresh_tokens) as tokens, (select count(*)::int from sessions) as sessions`;
    return row;
  };
  const sweptTo = (expected: unknown) =>
    until(
      async () => {
        await world.clock.advance(hourMs);
        return Bun.deepEquals(await count(), expected);
      },
      { describe: `the sweeper to leave ${JSON.stringify(expected)}` },
    );
  const [sweeper] = user.context.workers;
  await sweeper?.start();
  await world.clock.advance(11 * dayMs);
  await sweptTo({ tokens: 1, sessions: 1 });
  expect((await refresh(refreshToken)).status).toBe(200);
  await world.clock.advance(31 * dayMs);
  await sweptTo({ tokens: 0, sessions: 0 });
  await sweeper?.stop();
});
