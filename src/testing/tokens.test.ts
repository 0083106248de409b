import { expect, test } from 'bun:test';
import { createManualClock } from '@platform/clock.ts';
import { createTestTokens } from './tokens.ts';

const startMs = Date.UTC(2026, 10, 22);
const person = '0190c5a0-0000-7000-8000-000000000001';

test('a test token is accepted by the platform verifier until it expires', async () => {
  const clock = createManualClock(startMs);
  const { verifier, token } = createTestTokens(clock);
  const accessToken = token(person, 'driver', { expiresInSeconds: 60 });
  expect(await verifier.verify(accessToken)).toMatchObject({ id: person, role: 'driver' });
  await clock.advance(60_000);
  expect(() => verifier.verify(accessToken)).toThrow('auth.token_expired');
});

test('a token of another issuer, type or key is rejected', async () => {
  const clock = createManualClock(startMs);
  const { verifier, token } = createTestTokens(clock);
  const invalidTokens = [
    token(person, 'rider', { claims: { iss: 'someone-else' } }),
    token(person, 'rider', { header: { typ: 'JWT' } }),
    token(person, 'rider', { header: { alg: 'none' } }),
    token(person, 'rider', { claims: { sid: undefined } }),
    createTestTokens(clock).token(person, 'rider'),
  ];
  for (const invalidToken of invalidTokens)
    await expect((async () => verifier.verify(invalidToken))()).rejects.toThrow('auth.token_invalid');
});
