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

let world: TestUser;
beforeEach(async () => {
  world = await createTestUser();
});
afterEach(() => world.close());

const binh = { email: 'binh@example.com', password: 'correct horse 3', name: 'Bình', role: 'rider' } as const;

async function start(settings: Record<string, string> = {}): Promise<TestUserInstance> {
  const user = world.createInstance({ settings });
  await user.context.prepare();
  return user;
}
const accessTokenOf = async (user: TestUserInstance, email: string = binh.email) =>
  parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body: { ...binh, email } })).tokens
    .accessToken;
const me = (user: TestUserInstance, token: string) => user.send('GET', '/v1/users/me', { token });
const decode = (part = ''): Record<string, unknown> => JSON.parse(Buffer.from(part, 'base64url').toString());
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

test('an access token is an at+jwt with the claims that verifiers need', async () => {
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
    exp: world.clock.nowMs() / 1000 + 60,
  });
});

test('the key set is public, holds no private part, and may be cached for a moment', async () => {
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
  const users = [world.createInstance(), world.createInstance(), world.createInstance()];
  await Promise.all(users.map((user) => user.context.prepare()));
  const sets = await Promise.all(users.map((user) => user.context.keys()));
  expect(sets[0]?.keys).toHaveLength(1);
  expect(sets[1]).toEqual(sets[0] ?? { keys: [] });
  expect(sets[2]).toEqual(sets[0] ?? { keys: [] });
  const [a, b] = users;
  if (a === undefined || b === undefined) throw new Error('two instances are needed');
  expect((await me(b, await accessTokenOf(a))).status).toBe(200);
});

test('tokens outlive a restart', async () => {
  const before = await start();
  const token = await accessTokenOf(before);
  await before.database.close();
  expect((await me(await start(), token)).status).toBe(200);
});

test('a start with another secret fails and says what to do', async () => {
  await start();
  const other = world.createInstance({
    settings: { SIGNING_KEY_SECRET: 'another secret of enough letters' },
  });
  await expect(other.context.prepare()).rejects.toThrow('SIGNING_KEY_SECRET');
});

const kidOf = (token: string) => String(decode(token.split('.')[0]).kid);
const kidsOf = async (user: TestUserInstance) => (await user.context.keys()).keys.map(({ kid }) => kid);
const secondMs = 1_000;
const dayMs = 24 * 3_600 * secondMs;
/** By the defaults: read again after 30 s, twice over, and a margin. */
const leadMs = 90 * secondMs;

async function keysWorker(user: TestUserInstance) {
  const worker = user.context.workers.find(({ name }) => name === 'user.keys');
  await worker?.start();
  return worker;
}

test('a key that has signed for its time is followed by the next: published before it signs, the old one as long as its tokens live', async () => {
  const user = await start();
  const worker = await keysWorker(user);
  const oldKid = kidOf(await accessTokenOf(user));
  await world.clock.advance(30 * dayMs);
  const newKid = await until(
    async () => {
      await world.clock.advance(60 * secondMs);
      return (await kidsOf(user)).find((kid) => kid !== oldKid);
    },
    { describe: 'the next key to be published' },
  );
  expect(await kidsOf(user)).toEqual([newKid, oldKid]);
  const old = await accessTokenOf(user, 'b2@example.com');
  expect(kidOf(old)).toBe(oldKid);

  await world.clock.advance(leadMs);
  const fresh = await accessTokenOf(user, 'b3@example.com');
  expect(kidOf(fresh)).toBe(newKid);
  expect((await me(user, fresh)).status).toBe(200);
  await world.clock.advance(800 * secondMs - leadMs);
  expect((await me(user, old)).status).toBe(200);

  await world.clock.advance(900 * secondMs);
  expect(await kidsOf(user)).toEqual([newKid]);
  await world.clock.advance(2 * dayMs);
  await until(
    async () => {
      await world.clock.advance(60 * secondMs);
      const [row] = await user.database.primary`select count(*)::int as keys from signing_keys`;
      return row?.keys === 1;
    },
    { describe: 'the old key to be forgotten' },
  );
  await worker?.stop();
});

test('requests that run while keys change notice nothing, at any instance', async () => {
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
    await world.clock.advance(2 * secondMs);
  }
  expect(kids.size).toBe(2);
});

test('a key that somebody else may have ends at once, everywhere, and refreshing goes on with the next', async () => {
  const [user, other] = [await start(), await start()];
  const { tokens } = parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body: binh }));
  const operator = await operatorOf(user);
  expect((await me(other, tokens.accessToken)).status).toBe(200);
  const rotated = await user.send('POST', '/v1/ops/signing-keys/rotate', operator(true));
  expect(parseAs(KeysRotated, rotated)).toMatchObject({ activeFrom: '2026-11-22T08:00:00.000Z' });
  await world.clock.advance(3_000);
  for (const one of [user, other]) {
    const answer = await me(one, tokens.accessToken);
    expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_invalid']);
  }
  const body = { refreshToken: tokens.refreshToken };
  const fresh = parseAs(Tokens, await other.send('POST', '/v1/auth/refresh', { body }));
  expect(kidOf(fresh.accessToken)).not.toBe(kidOf(tokens.accessToken));
  await world.clock.advance(3_000);
  for (const one of [user, other]) expect((await me(one, fresh.accessToken)).status).toBe(200);
  const noted = await user.database.primary`select action, reason from operator_actions`;
  expect([...noted]).toEqual([{ action: 'rotate_keys', reason: 'found on a stick' }]);
});

test('instances whose keys come of age together make one next key', async () => {
  const one = await start();
  const users = [one, await start(), await start()];
  const workers = await Promise.all(users.map(keysWorker));
  await world.clock.advance(31 * dayMs);
  await until(
    async () => {
      await world.clock.advance(60 * secondMs);
      const [row] = await one.database.primary`select max(generation) as newest from signing_keys`;
      return row?.newest === 2;
    },
    { describe: 'the next key' },
  );
  await world.clock.advance(120 * secondMs);
  await Promise.all(workers.map((worker) => worker?.stop()));
  const [row] = await one.database.primary`select max(generation) as newest from signing_keys`;
  expect(row?.newest).toBe(2);
});

/** Somebody who may ask for a new key. */
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

test('the key set is still given while the database is away', async () => {
  const user = await start();
  const known = await user.context.keys();
  await user.database.close();
  await world.clock.advance(3_600_000);
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

test('401 auth.token_expired fifteen minutes after the token was made', async () => {
  const user = await start();
  const token = await accessTokenOf(user);
  await world.clock.advance(15 * 60_000 - 1);
  expect((await me(user, token)).status).toBe(200);
  await world.clock.advance(1);
  const answer = await me(user, token);
  expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_expired']);
});

test('401 auth.token_invalid for every token that is not ours', async () => {
  const user = await start();
  const token = await accessTokenOf(user);
  const [head = '', payload = '', signature = ''] = token.split('.');
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const signed = (header: object, claims: object) => {
    const text = `${encode(header)}.${encode(claims)}`;
    return `${text}.${sign(null, Buffer.from(text), stranger).toString('base64url')}`;
  };
  const [header, claims] = [decode(head), decode(payload)];
  const forged = [
    signed(header, claims),
    signed({ ...header, jwk: stranger.export({ format: 'jwk' }) }, claims),
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
  for (const one of forged) {
    const answer = await me(user, one);
    expect([one.slice(0, 40), answer.status, problemCodeOf(answer)]).toEqual([
      one.slice(0, 40),
      401,
      'auth.token_invalid',
    ]);
  }
});

test('a token for another issuer or audience of the same keys is refused', async () => {
  const token = await accessTokenOf(await start({ TOKEN_ISSUER: 'someone-else' }));
  const answer = await me(await start(), token);
  expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.token_invalid']);
});
