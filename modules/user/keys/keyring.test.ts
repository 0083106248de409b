import { afterEach, beforeEach, expect, test } from 'bun:test';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { KeysRotated } from '@contracts/operators.ts';
import { KeySet, LoginSession, Tokens } from '@contracts/people.ts';
import { until } from '@testing/until.ts';
import {
  createTestUser,
  parseAs,
  problemCodeOf,
  type TestUser,
  type TestUserInstance,
} from '../testing/harness.ts';

let harness: TestUser;
beforeEach(async () => {
  harness = await createTestUser();
});
afterEach(() => harness.close());

const binh = { email: 'binh@example.com', password: 'correct horse 3', name: 'Bình', role: 'rider' } as const;

async function start(settings: Record<string, string> = {}): Promise<TestUserInstance> {
  const user = harness.createInstance({ settings });
  await user.context.prepare();
  return user;
}
const accessTokenOf = async (user: TestUserInstance, email: string = binh.email) =>
  parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body: { ...binh, email } })).tokens
    .accessToken;
const me = (user: TestUserInstance, token: string) => user.send('GET', '/v1/users/me', { token });
const decode = (part = ''): Record<string, unknown> => JSON.parse(Buffer.from(part, 'base64url').toString());
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

test('an access token is an at+jwt with all required claims', async () => {
  const user = await start({ TOKEN_ISSUER: 'iss', TOKEN_AUDIENCE: 'aud', ACCESS_TOKEN_SECONDS: '60' });
  const [head, payload] = (await accessTokenOf(user)).split('.');
  const { keys } = await user.context.keys();
  expect(decode(head)).toEqual({ alg: 'EdDSA', typ: 'at+jwt', kid: keys[0]?.kid });
  const claims = decode(payload);
  expect(Object.keys(claims).sort()).toEqual([
    'aud',
    'exp',
    'iat',
    'iss',
    'jti',
    'name',
    'role',
    'sid',
    'sub',
  ]);
  expect(claims).toMatchObject({
    iss: 'iss',
    aud: 'aud',
    role: 'rider',
    exp: harness.clock.nowMs() / 1000 + 60,
  });
});

test('the key set is public, contains no private part, and may be cached briefly', async () => {
  const user = await start();
  const answer = await user.send('GET', '/.well-known/jwks.json');
  expect(answer.status).toBe(200);
  expect(answer.headers.get('cache-control')).toContain('max-age');
  const { keys } = parseAs(KeySet, answer);
  expect(keys).toHaveLength(1);
  const [key] = keys;
  expect(key).toEqual({
    kty: 'OKP',
    crv: 'Ed25519',
    x: expect.any(String),
    kid: expect.any(String),
    alg: 'EdDSA',
    use: 'sig',
  });
  expect(() => createPublicKey({ key: { ...key }, format: 'jwk' })).not.toThrow();
});

test('instances that start together on an empty database share one key', async () => {
  const users = [harness.createInstance(), harness.createInstance(), harness.createInstance()];
  await Promise.all(users.map((user) => user.context.prepare()));
  const sets = await Promise.all(users.map((user) => user.context.keys()));
  expect(sets[0]?.keys).toHaveLength(1);
  expect(sets[1]).toEqual(sets[0] ?? { keys: [] });
  expect(sets[2]).toEqual(sets[0] ?? { keys: [] });
  const [a, b] = users;
  if (a === undefined || b === undefined) throw new Error('two instances are needed');
  expect((await me(b, await accessTokenOf(a))).status).toBe(200);
});

test('tokens survive a restart', async () => {
  const before = await start();
  const token = await accessTokenOf(before);
  await before.database.close();
  expect((await me(await start(), token)).status).toBe(200);
});

test('a start with another secret fails and names the setting', async () => {
  await start();
  const other = harness.createInstance({
    settings: { SIGNING_KEY_SECRET: 'another secret of enough letters' },
  });
  await expect(other.context.prepare()).rejects.toThrow('SIGNING_KEY_SECRET');
});

const kidOf = (token: string) => String(decode(token.split('.')[0]).kid);
const kidsOf = async (user: TestUserInstance) => (await user.context.keys()).keys.map(({ kid }) => kid);
const secondMs = 1_000;
const dayMs = 24 * 3_600 * secondMs;
/** With the default settings: two refresh intervals of 30 s and a margin. */
const leadMs = 90 * secondMs;

async function keysWorker(user: TestUserInstance) {
  const worker = user.context.workers.find(({ name }) => name === 'user.keys');
  await worker?.start();
  return worker;
}

test('a key is replaced after its lifetime: the next one is published before it signs, and the old one until its tokens have expired', async () => {
  const user = await start();
  const worker = await keysWorker(user);
  const oldKid = kidOf(await accessTokenOf(user));
  await harness.clock.advance(30 * dayMs);
  const newKid = await until(
    async () => {
      await harness.clock.advance(60 * secondMs);
      return (await kidsOf(user)).find((kid) => kid !== oldKid);
    },
    { describe: 'the next key to be published' },
  );
  expect(await kidsOf(user)).toEqual([newKid, oldKid]);
  const old = await accessTokenOf(user, 'b2@example.com');
  expect(kidOf(old)).toBe(oldKid);

  await harness.clock.advance(leadMs);
  const fresh = await accessTokenOf(user, 'b3@example.com');
  expect(kidOf(fresh)).toBe(newKid);
  expect((await me(user, fresh)).status).toBe(200);
  await harness.clock.advance(800 * secondMs - leadMs);
  expect((await me(user, old)).status).toBe(200);

  await harness.clock.advance(900 * secondMs);
  expect(await kidsOf(user)).toEqual([newKid]);
  await harness.clock.advance(2 * dayMs);
  await until(
    async () => {
      await harness.clock.advance(60 * secondMs);
      const [row] = await user.database.primary`select count(*)::int as keys from signing_keys`;
      return row?.keys === 1;
    },
    { describe: 'the old key to be deleted' },
  );
  await worker?.stop();
});

test('requests during a key rotation succeed at every instance', async () => {
  const users = [await start(), await start(), await start()] as const;
  const [maker] = users;
  const { tokens } = parseAs(LoginSession, await maker.send('POST', '/v1/auth/register', { body: binh }));
  const operator = await operatorOf(maker);
  let held = tokens;
  const kids = new Set<string>();
  for (let second = 0; second < 150; second += 2) {
    if (second === 20)
      expect((await maker.send('POST', '/v1/ops/signing-keys/rotate', operator(false))).status).toBe(200);
    const turn = users[(second / 2) % users.length] ?? maker;
    const refreshed = await turn.send('POST', '/v1/auth/refresh', {
      body: { refreshToken: held.refreshToken },
    });
    held = parseAs(Tokens, refreshed);
    kids.add(kidOf(held.accessToken));
    const answers = await Promise.all(users.map((user) => me(user, held.accessToken)));
    expect([second, answers.map(({ status }) => status)]).toEqual([second, [200, 200, 200]]);
    await harness.clock.advance(2 * secondMs);
  }
  expect(kids.size).toBe(2);
});

test('a compromised key ends at once everywhere, and refreshes use the next key', async () => {
  const [user, other] = [await start(), await start()];
  const { tokens } = parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body: binh }));
  const operator = await operatorOf(user);
  expect((await me(other, tokens.accessToken)).status).toBe(200);
  const rotated = await user.send('POST', '/v1/ops/signing-keys/rotate', operator(true));
  expect(parseAs(KeysRotated, rotated)).toMatchObject({ activeFrom: '2026-11-22T08:00:00.000Z' });
  await harness.clock.advance(3_000);
  for (const instance of [user, other]) {
    const answer = await me(instance, tokens.accessToken);
    expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_invalid']);
  }
  const body = { refreshToken: tokens.refreshToken };
  const fresh = parseAs(Tokens, await other.send('POST', '/v1/auth/refresh', { body }));
  expect(kidOf(fresh.accessToken)).not.toBe(kidOf(tokens.accessToken));
  await harness.clock.advance(3_000);
  for (const instance of [user, other]) expect((await me(instance, fresh.accessToken)).status).toBe(200);
  const recorded = await user.database.primary`select action, reason from operator_actions`;
  expect([...recorded]).toEqual([{ action: 'rotate_keys', reason: 'found on a stick' }]);
});

test('instances that rotate at the same time create one key', async () => {
  const first = await start();
  const users = [first, await start(), await start()];
  const workers = await Promise.all(users.map(keysWorker));
  await harness.clock.advance(31 * dayMs);
  await until(
    async () => {
      await harness.clock.advance(60 * secondMs);
      const [row] = await first.database.primary`select max(generation) as newest from signing_keys`;
      return row?.newest === 2;
    },
    { describe: 'the next key' },
  );
  await harness.clock.advance(120 * secondMs);
  await Promise.all(workers.map((worker) => worker?.stop()));
  const [row] = await first.database.primary`select max(generation) as newest from signing_keys`;
  expect(row?.newest).toBe(2);
});

/** Creates an operator and returns the options of a rotate request. */
async function operatorOf(user: TestUserInstance) {
  const body = { email: 'ops@example.com', password: 'operators only', name: 'O', role: 'driver' };
  const { person } = parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body }));
  await user.database.primary`update people set role = 'ops' where id = ${person.id}`;
  const login = await user.send('POST', '/v1/auth/login', {
    body: { email: body.email, password: body.password },
  });
  const token = parseAs(LoginSession, login).tokens.accessToken;
  return (compromised: boolean) => ({ token, body: { reason: 'found on a stick', compromised } });
}

test('the key set is still available while the database is not', async () => {
  const user = await start();
  const known = await user.context.keys();
  await user.database.close();
  await harness.clock.advance(3_600_000);
  const answer = await user.send('GET', '/.well-known/jwks.json');
  expect(answer.status).toBe(200);
  expect(parseAs(KeySet, answer)).toEqual(known);
});

test('401 auth.token_missing without a bearer token', async () => {
  const user = await start();
  for (const method of ['GET', 'PATCH']) {
    const answer = await user.send(method, '/v1/users/me', method === 'PATCH' ? { body: { name: 'x' } } : {});
    expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_missing']);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  }
});

test('401 auth.token_expired fifteen minutes after the token was issued', async () => {
  const user = await start();
  const token = await accessTokenOf(user);
  await harness.clock.advance(15 * 60_000 - 1);
  expect((await me(user, token)).status).toBe(200);
  await harness.clock.advance(1);
  const answer = await me(user, token);
  expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_expired']);
});

test('401 auth.token_invalid for every forged token', async () => {
  const user = await start();
  const token = await accessTokenOf(user);
  const [head = '', payload = '', signature = ''] = token.split('.');
  const foreignKey = generateKeyPairSync('ed25519').privateKey;
  const signed = (header: object, claims: object) => {
    const text = `${encode(header)}.${encode(claims)}`;
    return `${text}.${sign(null, Buffer.from(text), foreignKey).toString('base64url')}`;
  };
  const [header, claims] = [decode(head), decode(payload)];
  const forged = [
    signed(header, claims),
    signed({ ...header, jwk: foreignKey.export({ format: 'jwk' }) }, claims),
    `${encode({ ...header, alg: 'none' })}.${payload}.`,
    `${encode({ ...header, alg: 'HS256' })}.${payload}.${signature}`,
    `${encode({ ...header, kid: 'unknown' })}.${payload}.${signature}`,
    `${head}.${encode({ ...claims, role: 'ops' })}.${signature}`,
    `${head}.${payload}.`,
    `${head}.${payload}`,
    `${token}.more`,
    `${token}${'A'.repeat(100_000)}`,
    'nonsense',
  ];
  for (const token of forged) {
    const answer = await me(user, token);
    expect([token.slice(0, 40), answer.status, problemCodeOf(answer)]).toEqual([
      token.slice(0, 40),
      401,
      'auth.token_invalid',
    ]);
  }
});

test('a token with another issuer of the same keys is rejected', async () => {
  const token = await accessTokenOf(await start({ TOKEN_ISSUER: 'someone-else' }));
  const answer = await me(await start(), token);
  expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_invalid']);
});
