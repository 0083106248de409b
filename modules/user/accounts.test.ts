import { afterEach, beforeEach, expect, test } from 'bun:test';
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
beforeEach(async () => {
  harness = await createTestUser();
  user = harness.createInstance();
  await user.context.prepare();
});
afterEach(() => harness.close());

const linh = {
  email: 'linh@example.com',
  password: 'correct horse 1',
  name: 'Linh Trần',
  role: 'rider',
} as const;

const register = (body: unknown = linh) => user.send('POST', '/v1/auth/register', { body });
const login = (email: string, password: string) =>
  user.send('POST', '/v1/auth/login', { body: { email, password } });

test('registering logs the person in with the requested role', async () => {
  const answer = await register({ ...linh, role: 'driver', phone: '+84901234567' });
  expect(answer.status).toBe(201);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  const { person, tokens } = parseAs(LoginSession, answer);
  expect(person).toEqual({
    id: person.id,
    email: 'linh@example.com',
    name: 'Linh Trần',
    phone: '+84901234567',
    role: 'driver',
    createdAt: '2026-11-22T08:00:00.000Z',
  });
  expect(tokens.accessExpiresAt).toBe('2026-11-22T08:15:00.000Z');
  expect(tokens.refreshExpiresAt).toBe('2026-12-22T08:00:00.000Z');
  expect(await user.verifier.verify(tokens.accessToken)).toMatchObject({ id: person.id, role: 'driver' });
});

test('a registered person can log in with any case of the email', async () => {
  const { person } = parseAs(LoginSession, await register({ ...linh, email: 'Linh@Example.com' }));
  const answer = await login('LINH@example.COM', linh.password);
  expect(answer.status).toBe(200);
  expect(parseAs(LoginSession, answer).person).toEqual(person);
});

test('a name is stored and returned in NFC, trimmed and with single spaces', async () => {
  const { person, tokens } = parseAs(
    LoginSession,
    await register({ ...linh, name: '  Ngọc\u00a0\u00a0Ánh '.normalize('NFD') }),
  );
  expect(person.name).toBe('Ngọc Ánh');
  const token = tokens.accessToken;
  const changed = await user.send('PATCH', '/v1/users/me', { token, body: { name: ' می\u200cخواهم ' } });
  expect(changed.json).toMatchObject({ name: 'می\u200cخواهم' });
  const refused = await user.send('PATCH', '/v1/users/me', { token, body: { name: '\u3164' } });
  expect([refused.status, problemCodeOf(refused)]).toEqual([400, 'request.invalid']);
  expect(refused.text).toContain('printable text of 1 to 100 characters');
  expect((await user.send('GET', '/v1/users/me', { token })).json).toMatchObject({ name: 'می\u200cخواهم' });
});

test('a password is the same in every Unicode normalization', async () => {
  await register({ ...linh, password: 'mật khẩu'.normalize('NFC') });
  expect((await login(linh.email, 'mật khẩu'.normalize('NFD'))).status).toBe(200);
});

test('409 user.email_taken, also in another case and for concurrent registrations', async () => {
  const answers = await Promise.all([
    register(),
    register({ ...linh, email: 'LINH@EXAMPLE.COM', password: 'another one' }),
  ]);
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
  expect(answers.map(problemCodeOf)).toContain('user.email_taken');
  const again = await register();
  expect([again.status, problemCodeOf(again)]).toEqual([409, 'user.email_taken']);
});

test('401 auth.credentials_invalid is the same for a wrong password and an unknown account', async () => {
  await register();
  const wrong = await login(linh.email, 'wrong horse 1');
  const unknown = await login('nobody@example.com', linh.password);
  for (const answer of [wrong, unknown]) {
    expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.credentials_invalid']);
  }
  const withoutId = ({ text }: { text: string }) => text.replace(/"requestId":"[^"]*"/, '');
  expect(withoutId(wrong)).toBe(withoutId(unknown));
});

test('400 request.invalid for every registration that violates the contract, and no account is created', async () => {
  const wrong: unknown[] = [
    { ...linh, role: 'ops' },
    { ...linh, role: undefined },
    { ...linh, email: 'linh' },
    { ...linh, email: 'linh@example' },
    { ...linh, email: 'li nh@example.com' },
    { ...linh, email: 'li\u0000nh@example.com' },
    { ...linh, email: `${'l'.repeat(65)}@example.com` },
    { ...linh, email: ['linh@example.com'] },
    { ...linh, password: '1234567' },
    { ...linh, password: 'x'.repeat(201) },
    { ...linh, password: 12_345_678 },
    { ...linh, name: '' },
    { ...linh, name: 'a\u0000b' },
    { ...linh, name: '   ' },
    { ...linh, name: '\u200b\u200d' },
    { ...linh, name: 'Linh\u202e' },
    { ...linh, password: 'half of a pair \ud800' },
    { ...linh, phone: '0901234567' },
    { ...linh, phone: null },
    { ...linh, isAdmin: true },
    { ...linh, id: '00000000-0000-7000-8000-000000000000' },
    [],
    null,
    'linh',
    7,
  ];
  for (const body of wrong) {
    const answer = await register(typeof body === 'string' ? JSON.stringify(body) : body);
    expect([answer.status, problemCodeOf(answer), body]).toEqual([400, 'request.invalid', body]);
    expect(answer.text).not.toContain(linh.password);
  }
  const [row] = await user.database.primary`select count(*)::int as people from people`;
  expect(row).toEqual({ people: 0 });
});

test('400 for a body that is not JSON, is missing, or has other fields', async () => {
  for (const path of ['register', 'login', 'refresh', 'logout']) {
    const malformed = await user.send('POST', `/v1/auth/${path}`, { body: '{"email":' });
    expect([path, malformed.status, problemCodeOf(malformed)]).toEqual([path, 400, 'request.malformed']);
    const missing = await user.send('POST', `/v1/auth/${path}`);
    expect([path, missing.status, problemCodeOf(missing)]).toEqual([path, 400, 'request.invalid']);
    const unknown = await user.send('POST', `/v1/auth/${path}`, { body: { surprise: true } });
    expect([path, unknown.status, problemCodeOf(unknown)]).toEqual([path, 400, 'request.invalid']);
  }
});

test('413 request.too_large for a body over the limit', async () => {
  const answer = await register(JSON.stringify({ ...linh, name: 'x'.repeat(70_000) }));
  expect([answer.status, problemCodeOf(answer)]).toEqual([413, 'request.too_large']);
});

test('an email that would be slow to match is rejected at once', async () => {
  const startedAt = performance.now();
  const answer = await register({ ...linh, email: `a@${'.'.repeat(60_000)}@` });
  expect([answer.status, problemCodeOf(answer)]).toEqual([400, 'request.invalid']);
  // Backtracking took 8 s on a quiet machine, and takes longer on a busy one.
  expect(performance.now() - startedAt).toBeLessThan(4_000);
});

const from = (address: string, email: string, password: string, at = user) =>
  at.send('POST', '/v1/auth/login', { body: { email, password }, headers: { 'x-forwarded-for': address } });
const fail = async (times: number, address: string, email: string) => {
  const statuses: number[] = [];
  for (let n = 0; n < times; n++) statuses.push((await from(address, email, 'wrong horse')).status);
  return statuses;
};
const strict = {
  LOGIN_FAILURES_MAX: '3',
  LOGIN_FAILURES_ACCOUNT_MAX: '5',
  LOGIN_FAILURES_ADDRESS_MAX: '6',
};

test('429 auth.login_throttled after too many failures, also for an account that does not exist', async () => {
  user = harness.createInstance({ settings: strict });
  await register();
  for (const [address, email] of [
    ['10.0.0.1', linh.email],
    ['10.0.0.2', 'nobody@example.com'],
  ] as const) {
    expect(await fail(4, address, email)).toEqual([401, 401, 401, 429]);
    const answer = await from(address, email, linh.password);
    expect([answer.status, problemCodeOf(answer)]).toEqual([429, 'auth.login_throttled']);
    expect(Number(answer.headers.get('retry-after'))).toBe(300);
  }
});

test('guesses from one address lock out that address, not the person elsewhere', async () => {
  user = harness.createInstance({ settings: strict });
  await register();
  await fail(10, '10.0.0.1', linh.email);
  expect((await from('10.0.0.9', linh.email, linh.password)).status).toBe(200);
});

test('guesses from many addresses are limited by the account', async () => {
  user = harness.createInstance({ settings: strict });
  await register();
  for (const place of [1, 2]) expect(await fail(2, `10.0.0.${place}`, linh.email)).toEqual([401, 401]);
  expect(await fail(2, '10.0.0.3', linh.email)).toEqual([401, 429]);
  expect((await from('10.0.0.4', linh.email, linh.password)).status).toBe(429);
});

test('guesses for many accounts are limited by the address', async () => {
  user = harness.createInstance({ settings: strict });
  const statuses = [];
  for (let n = 0; n < 8; n++) statuses.push((await from('10.0.0.1', `p${n}@example.com`, 'x')).status);
  expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429, 429]);
});

test('concurrent guesses at two instances get no further than sequential ones', async () => {
  user = harness.createInstance({ settings: strict });
  const other = harness.createInstance({ settings: strict });
  await register();
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, n) => from('10.0.0.1', linh.email, `guess ${n}`, n % 2 ? user : other)),
  );
  expect(answers.filter(({ status }) => status === 401)).toHaveLength(3);
});

test('attempts become available again with time, and the right password resets the counter', async () => {
  user = harness.createInstance({ settings: strict });
  await register();
  expect(await fail(4, '10.0.0.1', linh.email)).toEqual([401, 401, 401, 429]);
  await harness.clock.advance(300_000);
  expect(await fail(2, '10.0.0.1', linh.email)).toEqual([401, 429]);
  await harness.clock.advance(300_000);
  expect((await from('10.0.0.1', linh.email, linh.password)).status).toBe(200);
  expect(await fail(2, '10.0.0.1', linh.email)).toEqual([401, 401]);
});

test('repeated successful logins are never throttled', async () => {
  user = harness.createInstance({ settings: strict });
  await register();
  for (let n = 0; n < 8; n++) expect((await from('10.0.0.1', linh.email, linh.password)).status).toBe(200);
});

test('503 with Retry-After when too many password hashes wait', async () => {
  const narrow = harness.createInstance({
    settings: { PASSWORD_HASHES_PARALLEL_MAX: '1', PASSWORD_HASHES_WAITING_MAX: '1' },
  });
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      narrow.send('POST', '/v1/auth/login', { body: { email: `p${index}@example.com`, password: 'x' } }),
    ),
  );
  const refused = answers.filter(({ status }) => status === 503);
  expect(refused.length).toBeGreaterThanOrEqual(1);
  for (const answer of refused) {
    expect(problemCodeOf(answer)).toBe('service.unavailable');
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  }
  expect(answers.filter(({ status }) => status === 401).length).toBe(6 - refused.length);
});

test('503 with Retry-After while the database is unavailable', async () => {
  await user.database.close();
  const answer = await login(linh.email, linh.password);
  expect([answer.status, problemCodeOf(answer)]).toEqual([503, 'service.unavailable']);
  expect(answer.headers.get('retry-after')).not.toBeNull();
});

test('passwords and tokens are in no other response, in no log, and not readable in the database', async () => {
  const registered = await register();
  const { tokens } = parseAs(LoginSession, registered);
  await login(linh.email, 'my wrong secret');
  await user.send('POST', '/v1/auth/login', { body: { ...linh, email: linh.email } });
  await user.send('POST', '/v1/auth/refresh', { body: { refreshToken: tokens.refreshToken } });
  await user.send('POST', '/v1/auth/refresh', { body: { refreshToken: tokens.refreshToken } });
  const me = await user.send('GET', '/v1/users/me', { token: tokens.accessToken });
  const secrets = [linh.password, 'my wrong secret', tokens.accessToken, tokens.refreshToken];

  const tables = await user.database.primary`
    select (select json_agg(p)::text from people p) as people,
           (select json_agg(t)::text from refresh_tokens t) as tokens,
           (select json_agg(k)::text from signing_keys k) as keys`;
  const seen = [...harness.logLines, me.text, JSON.stringify(tables)].join('\n');
  expect(seen).toContain('linh@example.com');
  for (const secret of secrets) expect(seen).not.toContain(secret);
  expect(registered.text).not.toContain(linh.password);
  expect(registered.text + me.text).not.toContain('argon2');
});
