import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { SignedOut } from '@contracts/events.ts';
import { LoginSession, type Tokens } from '@contracts/people.ts';
import { done } from '@platform/bus/bus.ts';
import { until } from '@testing/until.ts';
import { createTestUser, parseAs, type TestUser, type TestUserInstance } from '../testing/harness.ts';

let harness: TestUser;
let user: TestUserInstance;
let published: SignedOut[];
beforeEach(async () => {
  harness = await createTestUser();
  user = harness.createInstance({ settings: { OPS_EMAIL: ops.email, OPS_PASSWORD: ops.password } });
  await user.context.prepare();
  published = [];
  await harness.bus.subscribe({
    queue: 'test.sign_outs',
    events: ['user.signed_out.v1'],
    prefetch: 10,
    handle: async ({ event }) => {
      published.push(event.data);
      return done;
    },
  });
  for (const worker of user.context.workers) await worker.start();
});
afterEach(async () => {
  for (const worker of user.context.workers.toReversed()) await worker.stop();
  await harness.close();
});

const ops = { email: 'ops@example.com', password: 'operators only' };
const password = 'correct horse 7';

const register = async (email: string) => {
  const body = { email, password, name: 'Dũng', role: 'driver' };
  return parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body }));
};
const login = async (email: string) =>
  parseAs(LoginSession, await user.send('POST', '/v1/auth/login', { body: { email, password } })).tokens;
const logout = ({ refreshToken }: Tokens) => user.send('POST', '/v1/auth/logout', { body: { refreshToken } });
const refresh = ({ refreshToken }: Tokens) =>
  user.send('POST', '/v1/auth/refresh', { body: { refreshToken } });

/** The published causes for the person. The sign-out of another person, published last, shows that all events have arrived. */
async function publishedOf(personId: string): Promise<SignedOut['cause'][]> {
  const last = await register(`last-${personId}@example.com`);
  await logout(last.tokens);
  await until(() => published.some((signOut) => signOut.personId === last.person.id), {
    describe: 'the last event',
  });
  return published.filter((signOut) => signOut.personId === personId).map(({ cause }) => cause);
}

describe('user.signed_out is published', () => {
  test('when the last session ends by logout, but not when one of two does', async () => {
    const { person, tokens } = await register('dung@example.com');
    const elsewhere = await login('dung@example.com');
    await logout(tokens);
    expect(await publishedOf(person.id)).toEqual([]);
    await harness.clock.advance(5_000);
    await logout(elsewhere);
    await logout(elsewhere);
    await until(() => published.some((signOut) => signOut.personId === person.id));
    expect(published.filter((signOut) => signOut.personId === person.id)).toEqual([
      { personId: person.id, role: 'driver', cause: 'logout', at: '2026-11-22T08:00:05.000Z' },
    ]);
  });

  test('once if the last sessions end at the same time', async () => {
    for (let round = 0; round < 15; round++) {
      const email = `twin-${round}@example.com`;
      const { person, tokens } = await register(email);
      const others = [await login(email), await login(email)];
      const answers = await Promise.all([tokens, ...others].map(logout));
      expect(answers.map(({ status }) => status)).toEqual([204, 204, 204]);
      await until(() => published.some((signOut) => signOut.personId === person.id), {
        describe: `round ${round}`,
      });
    }
    expect(new Set(published.map(({ personId }) => personId)).size).toBe(published.length);
  }, 30_000);

  test('even if another session of the person has expired unused', async () => {
    const { person } = await register('dung@example.com');
    await user.database.primary`update sessions set expires_at_ms = ${harness.clock.nowMs()}`;
    const later = await login('dung@example.com');
    await logout(later);
    expect(await publishedOf(person.id)).toEqual(['logout']);
  });

  test('once for a ban, even if the person has no session', async () => {
    const operator = parseAs(LoginSession, await user.send('POST', '/v1/auth/login', { body: ops }));
    const ban = (id: string) =>
      user.send('POST', `/v1/ops/people/${id}/ban`, {
        token: operator.tokens.accessToken,
        body: { reason: 'drove over the lawn' },
      });
    const { person } = await register('dung@example.com');
    await login('dung@example.com');
    await ban(person.id);
    await ban(person.id);
    expect(await publishedOf(person.id)).toEqual(['banned']);
    const gone = await register('gone@example.com');
    await logout(gone.tokens);
    await ban(gone.person.id);
    expect(await publishedOf(gone.person.id)).toEqual(['logout', 'banned']);
  });

  test('when the reuse of a refresh token ends the last session, but not if there is another one', async () => {
    const { person, tokens } = await register('dung@example.com');
    const elsewhere = await login('dung@example.com');
    for (const stolen of [tokens, elsewhere]) {
      expect((await refresh(stolen)).status).toBe(200);
      await harness.clock.advance(60_000);
      expect((await refresh(stolen)).status).toBe(401);
      if (stolen === tokens) expect(await publishedOf(person.id)).toEqual([]);
    }
    await until(() => published.some((signOut) => signOut.personId === person.id));
    expect(published.filter((signOut) => signOut.personId === person.id)).toMatchObject([{ cause: 'reuse' }]);
  });

  test('in the previous role when the settings make an account the operator account', async () => {
    const { person } = await register('boss@example.com');
    const settings = { OPS_EMAIL: 'boss@example.com', OPS_PASSWORD: ops.password };
    await harness.createInstance({ settings }).context.prepare();
    await until(
      async () => {
        await harness.clock.advance(100);
        return published.some((signOut) => signOut.personId === person.id);
      },
      { describe: 'the event, by the relay of another instance' },
    );
    expect(published).toMatchObject([{ personId: person.id, role: 'driver', cause: 'credentials_changed' }]);
  });
});
