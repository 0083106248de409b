import { afterEach, beforeEach, expect, test } from 'bun:test';
import { PersonRecord } from '@contracts/operators.ts';
import { LoginSession } from '@contracts/people.ts';
import {
  createTestUser,
  parseAs,
  problemCodeOf,
  type TestUser,
  type TestUserInstance,
} from './testing/harness.ts';

let harness: TestUser;
let user: TestUserInstance;
let operator: LoginSession;
beforeEach(async () => {
  harness = await createTestUser();
  user = harness.createInstance({ settings: { OPS_EMAIL: ops.email, OPS_PASSWORD: ops.password } });
  await user.context.prepare();
  operator = parseAs(LoginSession, await user.send('POST', '/v1/auth/login', { body: ops }));
});
afterEach(() => harness.close());

const ops = { email: 'ops@example.com', password: 'operators only' };
const dung = {
  email: 'dung@example.com',
  password: 'correct horse 7',
  name: 'Dũng',
  role: 'driver',
} as const;
const reason = 'drove over the lawn';

const register = async () =>
  parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body: dung }));
const login = () =>
  user.send('POST', '/v1/auth/login', { body: { email: dung.email, password: dung.password } });
const me = (at: TestUserInstance, token: string) => at.send('GET', '/v1/users/me', { token });
const act = (what: string, id: string, token = operator.tokens.accessToken, body: unknown = { reason }) =>
  user.send('POST', `/v1/ops/people/${id}/${what}`, { token, body });

test('a ban ends every session within seconds, and login and refresh are rejected', async () => {
  const other = harness.createInstance();
  const { person, tokens } = await register();
  const elsewhere = parseAs(LoginSession, await login()).tokens;
  expect((await me(other, tokens.accessToken)).status).toBe(200);
  expect((await act('ban', person.id)).status).toBe(200);
  await harness.clock.advance(3_000);
  for (const { accessToken, refreshToken } of [tokens, elsewhere]) {
    for (const instance of [user, other]) {
      const answer = await me(instance, accessToken);
      expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_revoked']);
    }
    const refreshed = await user.send('POST', '/v1/auth/refresh', { body: { refreshToken } });
    expect([refreshed.status, problemCodeOf(refreshed)]).toEqual([401, 'auth.refresh_invalid']);
  }
  const again = await login();
  expect([again.status, problemCodeOf(again)]).toEqual([403, 'auth.account_banned']);
});

test('a login with a wrong password does not reveal the ban', async () => {
  const { person } = await register();
  await act('ban', person.id);
  const body = { email: dung.email, password: 'wrong horse' };
  const answer = await user.send('POST', '/v1/auth/login', { body });
  expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.credentials_invalid']);
});

test('an unbanned person can log in again, and the earlier sessions stay ended', async () => {
  const { person, tokens } = await register();
  await act('ban', person.id);
  await harness.clock.advance(60_000);
  const record = parseAs(
    PersonRecord,
    await act('unban', person.id, undefined, { reason: 'it was no lawn' }),
  );
  expect(record.bannedAt).toBeNull();
  const fresh = parseAs(LoginSession, await login()).tokens;
  await harness.clock.advance(3_000);
  expect((await me(user, fresh.accessToken)).status).toBe(200);
  expect(problemCodeOf(await me(user, tokens.accessToken))).toBe('auth.token_revoked');
});

test('operator actions are recorded with operator, time and reason, and a repeated ban is recorded once', async () => {
  const { person } = await register();
  await act('ban', person.id);
  await harness.clock.advance(60_000);
  await act('ban', person.id);
  await act('unban', person.id, undefined, { reason: 'it was no lawn' });
  const path = `/v1/ops/people?email=${encodeURIComponent('DUNG@example.com')}`;
  const record = parseAs(PersonRecord, await user.send('GET', path, { token: operator.tokens.accessToken }));
  expect(record).toMatchObject({ person: { id: person.id, email: dung.email }, bannedAt: null });
  expect(record.actions.map(({ id: _, ...action }) => action)).toEqual([
    {
      action: 'unban',
      operatorId: operator.person.id,
      reason: 'it was no lawn',
      at: '2026-11-22T08:01:00.000Z',
    },
    { action: 'ban', operatorId: operator.person.id, reason, at: '2026-11-22T08:00:00.000Z' },
  ]);
});

test('the session of a login that was in flight during the ban is revoked too', async () => {
  const { person } = await register();
  await act('ban', person.id);
  // As such a login leaves it: inserted by a statement that the ban did not see.
  const sessionId = '00000002-0000-7000-8000-000000000001';
  await user.database.primary`
    insert into sessions (id, person_id, created_at_ms, expires_at_ms)
    values (${sessionId}, ${person.id}, ${harness.clock.nowMs()}, ${harness.clock.nowMs() + 60_000})`;
  const { sessions } = await user.context.revocations({ sinceMs: 0 });
  expect(sessions.map(({ id }) => id)).toContain(sessionId);
  await act('unban', person.id);
  const [row] = await user.database.primary`select revoked_for from sessions where id = ${sessionId}`;
  expect(row).toEqual({ revoked_for: 'banned' });
});

test('logins that race a ban leave no valid session', async () => {
  const { person } = await register();
  const answers = await Promise.all([login(), act('ban', person.id), login(), login()]);
  await harness.clock.advance(3_000);
  for (const answer of answers.filter(({ status, text }) => status === 200 && text.includes('accessToken'))) {
    const { accessToken, refreshToken } = parseAs(LoginSession, answer).tokens;
    expect((await me(user, accessToken)).status).toBe(401);
    expect((await user.send('POST', '/v1/auth/refresh', { body: { refreshToken } })).status).toBe(401);
  }
});

test('a ban is 403 for other roles, 404 for an unknown person, 409 for oneself and 400 without a reason', async () => {
  const { person, tokens } = await register();
  for (const what of ['ban', 'unban']) {
    const asDriver = await act(what, person.id, tokens.accessToken);
    expect([asDriver.status, problemCodeOf(asDriver)]).toEqual([403, 'auth.role_forbidden']);
    const unknownPerson = await act(what, '00000002-0000-7000-8000-000000000009');
    expect([unknownPerson.status, problemCodeOf(unknownPerson)]).toEqual([404, 'user.not_found']);
    for (const body of [{}, { reason: '' }, { reason: 'x'.repeat(501) }, { reason, until: 'never' }]) {
      expect((await act(what, person.id, undefined, body)).status).toBe(400);
    }
  }
  const self = await act('ban', operator.person.id);
  expect([self.status, problemCodeOf(self)]).toEqual([409, 'user.ban_self']);
  const unknown = await user.send('GET', '/v1/ops/people?email=nobody%40example.com', {
    token: operator.tokens.accessToken,
  });
  expect([unknown.status, problemCodeOf(unknown)]).toEqual([404, 'user.not_found']);
});
