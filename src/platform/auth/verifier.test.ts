import { expect, test } from 'bun:test';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import type { PersonId } from '@contracts/ids.ts';
import type { KeySet } from '@contracts/people.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { createManualClock } from '../clock.ts';
import { Problem } from '../problems.ts';
import { noRevocations, type Revocations } from './revocations.ts';
import { createVerifier, type Verifier } from './verifier.ts';

const startMs = Date.UTC(2026, 10, 22, 8);
const rider = '01a20438-5328-7000-be00-93adcfa25034';
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

function start(revocations: Revocations = noRevocations) {
  const clock = createManualClock(startMs);
  return { clock, ...createTestTokens(clock, revocations) };
}

/** Returns the problem code of a rejected token, or `accepted`. */
async function codeFor(verifier: Verifier, token: string): Promise<string> {
  try {
    await verifier.verify(token);
    return 'accepted';
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
}

test('a valid token yields its principal, and synchronously when it was seen before', async () => {
  const { verifier, token } = start();
  const good = token(rider, 'driver', { sessionId: 's' });
  const principal = {
    id: rider as PersonId,
    role: 'driver',
    name: null,
    sessionId: 's',
    expiresAtMs: startMs + 900_000,
  } as const;
  expect(await verifier.verify(good)).toEqual(principal);
  expect(verifier.verify(good)).toEqual(principal);
});

test('a token may contain the name of the person; a missing or too long name is ignored', async () => {
  const { verifier, token } = start();
  const nameIn = async (name: unknown) =>
    (await verifier.verify(token(rider, 'driver', { claims: { name } }))).name;
  expect(await nameIn('Nguyễn Văn An')).toBe('Nguyễn Văn An');
  expect(await nameIn('字'.repeat(100))).toBe('字'.repeat(100));
  for (const name of [undefined, null, 7, {}, 'a'.repeat(101)]) expect(await nameIn(name)).toBeNull();
});

test('auth.token_invalid: algorithm none, in any spelling, signed or not', async () => {
  const { verifier, token } = start();
  const [head = '', payload = '', signature = ''] = token(rider, 'rider').split('.');
  const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString());
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '', null, undefined]) {
    for (const end of ['', signature]) {
      const forged = `${encode({ alg, typ: 'at+jwt', kid })}.${payload}.${end}`;
      expect([alg, await codeFor(verifier, forged)]).toEqual([alg, 'auth.token_invalid']);
    }
  }
});

test('auth.token_invalid: another algorithm, also one that uses the public key as its secret', async () => {
  const { verifier, token, keySet } = start();
  const [key] = keySet.keys;
  const [, payload = ''] = token(rider, 'rider').split('.');
  const secrets = [Buffer.from(key?.x ?? '', 'base64url'), Buffer.from(JSON.stringify(key))];
  for (const alg of ['HS256', 'HS384', 'HS512']) {
    for (const secret of secrets) {
      const signed = `${encode({ alg, typ: 'at+jwt', kid: key?.kid })}.${payload}`;
      const mac = createHmac(`sha${alg.slice(2)}`, secret)
        .update(signed)
        .digest('base64url');
      expect(await codeFor(verifier, `${signed}.${mac}`)).toBe('auth.token_invalid');
    }
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const signed = `${encode({ alg: 'RS256', typ: 'at+jwt', kid: key?.kid })}.${payload}`;
  const mark = sign('sha256', Buffer.from(signed), rsa).toString('base64url');
  expect(await codeFor(verifier, `${signed}.${mark}`)).toBe('auth.token_invalid');
});

test('auth.token_invalid: an unknown key id, another type, a critical extension', async () => {
  const { verifier, token } = start();
  const headers = [
    { kid: 'unknown' },
    { kid: undefined },
    { kid: 7 },
    { kid: '__proto__' },
    { typ: 'JWT' },
    { typ: 'refresh+jwt' },
    { typ: undefined },
    { crit: ['b64'], b64: false },
  ];
  for (const header of headers) {
    const code = await codeFor(verifier, token(rider, 'rider', { header }));
    expect([header, code]).toEqual([header, 'auth.token_invalid']);
  }
});

test('auth.token_invalid: another issuer or audience, and claims that are missing or of a wrong type', async () => {
  const { verifier, token } = start();
  const wrong = [
    { iss: 'someone-else' },
    { iss: undefined },
    { aud: 'someone-else' },
    { aud: ['uit-go-test'] },
    { aud: undefined },
    { sub: undefined },
    { sub: { id: rider } },
    { sid: undefined },
    { role: 'root' },
    { role: ['ops'] },
    { role: undefined },
    { exp: undefined },
    { exp: '9999999999' },
    { exp: null },
  ];
  for (const claims of wrong) {
    const code = await codeFor(verifier, token(rider, 'rider', { claims }));
    expect([claims, code]).toEqual([claims, 'auth.token_invalid']);
  }
});

test('auth.token_expired from the second of expiry on, cached or not', async () => {
  const { verifier, token, clock } = start();
  const seen = token(rider, 'rider', { expiresInSeconds: 60 });
  const unseen = token(rider, 'rider', { expiresInSeconds: 60, sessionId: 'other' });
  await clock.advance(59_999);
  expect(await codeFor(verifier, seen)).toBe('accepted');
  await clock.advance(1);
  expect(await codeFor(verifier, seen)).toBe('auth.token_expired');
  expect(await codeFor(verifier, seen)).toBe('auth.token_expired');
  expect(await codeFor(verifier, unseen)).toBe('auth.token_expired');
  expect(await codeFor(verifier, token(rider, 'rider', { claims: { exp: -1 } }))).toBe('auth.token_expired');
});

test('auth.token_invalid before a token becomes valid; clocks may differ by 30 seconds', async () => {
  const { verifier, token, clock } = start();
  const later = (seconds: number) =>
    token(rider, 'rider', { claims: { nbf: clock.nowMs() / 1000 + seconds }, expiresInSeconds: 3_600 });
  expect(await codeFor(verifier, later(30))).toBe('accepted');
  const tomorrow = later(600);
  expect(await codeFor(verifier, tomorrow)).toBe('auth.token_invalid');
  await clock.advance(570_000);
  expect(await codeFor(verifier, tomorrow)).toBe('accepted');
});

test('auth.token_invalid: tokens that are huge, truncated, extended or malformed', async () => {
  const { verifier, token } = start();
  const good = token(rider, 'rider');
  const [head = '', payload = '', signature = ''] = good.split('.');
  const bad = [
    `${good}${'A'.repeat(100_000)}`,
    `${head}.${payload}.${'A'.repeat(100_000)}`,
    `${'A'.repeat(100_000)}.${payload}.${signature}`,
    token(rider, 'rider', { claims: { padding: 'x'.repeat(100_000) } }),
    '.'.repeat(2_000),
    'a.b.c',
    '..',
    '',
    head,
    `${head}.${payload}`,
    `${good}.`,
    `${good}=`,
    `${good} `,
    `${head}.${payload}.${signature.slice(0, -1)}`,
    `${encode([])}.${payload}.${signature}`,
    `${encode(null)}.${payload}.${signature}`,
    `${head}.${encode([])}.${signature}`,
    '\u0000\uffff',
    '💥.💥.💥',
  ];
  for (const token of bad) {
    const shown = token.slice(0, 60);
    expect([shown, await codeFor(verifier, token)]).toEqual([shown, 'auth.token_invalid']);
  }
});

test('a token has one spelling: the unused bits of its signature must be zero', async () => {
  const { verifier, token } = start();
  const good = token(rider, 'rider');
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const lastOf = (text: string) => alphabet.indexOf(text.at(-1) ?? '');
  const respelled = `${good.slice(0, -1)}${alphabet[lastOf(good) ^ 1]}`;
  const bytesOf = (text: string) => Buffer.from(text.split('.')[2] ?? '', 'base64url');
  expect(bytesOf(respelled)).toEqual(bytesOf(good));
  expect(await codeFor(verifier, respelled)).toBe('auth.token_invalid');
});

test('a new key is found, and unknown key ids fetch the key set at most once in five seconds', async () => {
  const clock = createManualClock(startMs);
  const signers = [createTestTokens(clock), createTestTokens(clock)] as const;
  let fetches = 0;
  let known: KeySet = signers[0].keySet;
  const verifier = createVerifier({
    clock,
    fetchKeySet: async () => {
      fetches++;
      return known;
    },
    revocations: noRevocations,
    issuer: 'uit-go-test',
    audience: 'uit-go-test',
  });
  expect(await codeFor(verifier, signers[0].token(rider, 'rider'))).toBe('accepted');
  for (let n = 0; n < 100; n++) {
    const forged = signers[0].token(rider, 'rider', { header: { kid: `unknown-${n}` } });
    expect(await codeFor(verifier, forged)).toBe('auth.token_invalid');
  }
  expect(fetches).toBe(1);
  known = { keys: [...signers[1].keySet.keys, ...signers[0].keySet.keys] };
  await clock.advance(5_000);
  expect(await codeFor(verifier, signers[1].token(rider, 'rider'))).toBe('accepted');
  expect(fetches).toBe(2);
});
