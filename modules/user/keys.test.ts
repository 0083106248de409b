import { afterEach, beforeEach, expect, test } from 'bun:test';
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { KeySet, Session } from '@contracts/people.ts';
import { codeOf, createTestUser, readAs, type TestUser, type TestUserInstance } from '@testing/user.ts';

let world: TestUser;
beforeEach(async () => {
  world = await createTestUser();
});
afterEach(() => world.close());

const binh = { email: 'binh@example.com', password: 'correct horse 3', name: 'Bình', role: 'rider' } as const;

async function start(settings: Record<string, string> = {}): Promise<TestUserInstance> {
  const user = world.instance({ settings });
  await user.context.prepare();
  return user;
}
const accessTokenOf = async (user: TestUserInstance, email: string = binh.email) =>
  readAs(Session, await user.send('POST', '/v1/auth/register', { body: { ...binh, email } })).tokens
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
  expect(Object.keys(claims).sort()).toEqual(['aud', 'exp', 'iat', 'iss', 'jti', 'role', 'sid', 'sub']);
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
  const { keys } = readAs(KeySet, answer);
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
  const users = [world.instance(), world.instance(), world.instance()];
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
  const other = world.instance({ settings: { SIGNING_KEY_SECRET: 'another secret of enough letters' } });
  await expect(other.context.prepare()).rejects.toThrow('SIGNING_KEY_SECRET');
});

test('a newer key is published before it signs, and the old one verifies until it retires', async () => {
  const user = await start({ ACCESS_TOKEN_SECONDS: '3600' });
  const other = world.instance({ settings: { SIGNING_KEY_SECRET: 'k'.repeat(32) } });
  const old = await accessTokenOf(user);
  const oldKid = decode(old.split('.')[0]).kid;
  const newKid = await addSecondKey(other, world.clock.nowMs() + 60_000);

  await world.clock.advance(30_000);
  expect((await user.context.keys()).keys.map(({ kid }) => kid)).toEqual([newKid, String(oldKid)]);
  expect(decode((await accessTokenOf(user, 'b2@example.com')).split('.')[0]).kid).toBe(oldKid);

  await world.clock.advance(30_000);
  const fresh = await accessTokenOf(user, 'b3@example.com');
  expect(decode(fresh.split('.')[0]).kid).toBe(newKid);
  expect((await me(user, fresh)).status).toBe(200);
  expect((await me(user, old)).status).toBe(200);

  await user.database.primary`
    update signing_keys set retired_at_ms = ${world.clock.nowMs() + 60_000} where generation = 1`;
  await world.clock.advance(60_000);
  expect((await user.context.keys()).keys.map(({ kid }) => kid)).toEqual([newKid]);
});

/** A second key made by an instance whose first it was, as a rotation would make it. */
async function addSecondKey(user: TestUserInstance, activeFromMs: number): Promise<string> {
  const elsewhere = await createTestUser();
  try {
    const maker = elsewhere.instance();
    await maker.context.prepare();
    const [row] = await maker.database.primary`select kid, public_x, sealed_seed from signing_keys`;
    await user.database.primary`
      insert into signing_keys (generation, kid, public_x, sealed_seed, created_at_ms, active_from_ms)
      values (2, ${row?.kid}, ${row?.public_x}, ${row?.sealed_seed}, ${world.clock.nowMs()}, ${activeFromMs})`;
    return String(row?.kid);
  } finally {
    await elsewhere.close();
  }
}

test('the key set is still given while the database is away', async () => {
  const user = await start();
  const known = await user.context.keys();
  await user.database.close();
  await world.clock.advance(3_600_000);
  const answer = await user.send('GET', '/.well-known/jwks.json');
  expect(answer.status).toBe(200);
  expect(readAs(KeySet, answer)).toEqual(known);
});

test('401 auth.token_missing without a bearer token', async () => {
  const user = await start();
  for (const method of ['GET', 'PATCH']) {
    const answer = await user.send(method, '/v1/users/me', method === 'PATCH' ? { body: { name: 'x' } } : {});
    expect([answer.status, codeOf(answer)]).toEqual([401, 'auth.token_missing']);
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
  expect([answer.status, codeOf(answer)]).toEqual([401, 'auth.token_expired']);
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
    expect([one.slice(0, 40), answer.status, codeOf(answer)]).toEqual([
      one.slice(0, 40),
      401,
      'auth.token_invalid',
    ]);
  }
});

test('a token for another issuer or audience of the same keys is refused', async () => {
  const token = await accessTokenOf(await start({ TOKEN_ISSUER: 'someone-else' }));
  const answer = await me(await start(), token);
  expect([answer.status, codeOf(answer)]).toEqual([401, 'auth.token_invalid']);
});
