import { afterEach, beforeEach, expect, test } from 'bun:test';
import { LoginSession, Person } from '@contracts/people.ts';
import {
  createTestUser,
  parseAs,
  problemCodeOf,
  type TestUser,
  type TestUserInstance,
} from './testing/harness.ts';

let harness: TestUser;
beforeEach(async () => {
  harness = await createTestUser();
});
afterEach(() => harness.close());

const operator = { OPS_EMAIL: 'Ops@example.com', OPS_PASSWORD: 'the operators password' };

async function start(settings: Record<string, string>): Promise<TestUserInstance> {
  const user = harness.createInstance({ settings });
  await user.context.prepare();
  return user;
}
const login = (user: TestUserInstance, password: string) =>
  user.send('POST', '/v1/auth/login', { body: { email: 'ops@example.com', password } });

test('the configured operator can log in with role ops and read their account', async () => {
  const user = await start(operator);
  const { person, tokens } = parseAs(LoginSession, await login(user, operator.OPS_PASSWORD));
  expect(person).toMatchObject({ email: 'ops@example.com', role: 'ops' });
  const me = await user.send('GET', '/v1/users/me', { token: tokens.accessToken });
  expect(parseAs(Person, me)).toEqual(person);
});

test('a restart with the same settings keeps the operator logged in', async () => {
  const first = await start(operator);
  const { person, tokens } = parseAs(LoginSession, await login(first, operator.OPS_PASSWORD));
  const second = await start(operator);
  const body = { refreshToken: tokens.refreshToken };
  expect((await second.send('POST', '/v1/auth/refresh', { body })).status).toBe(200);
  expect(parseAs(LoginSession, await login(second, operator.OPS_PASSWORD)).person).toEqual(person);
});

test('instances that start together create one operator account', async () => {
  await Promise.all([start(operator), start(operator)]);
  const user = await start(operator);
  const [row] = await user.database.primary`select count(*)::int as people from people`;
  expect(row).toEqual({ people: 1 });
  expect((await login(user, operator.OPS_PASSWORD)).status).toBe(200);
});

test('a new password in the settings replaces the old one and ends its sessions', async () => {
  const first = await start(operator);
  const { tokens } = parseAs(LoginSession, await login(first, operator.OPS_PASSWORD));
  const user = await start({ ...operator, OPS_PASSWORD: 'a newer password' });
  expect((await login(user, operator.OPS_PASSWORD)).status).toBe(401);
  expect((await login(user, 'a newer password')).status).toBe(200);
  const body = { refreshToken: tokens.refreshToken };
  const answer = await user.send('POST', '/v1/auth/refresh', { body });
  expect([answer.status, problemCodeOf(answer)]).toEqual([401, 'auth.refresh_invalid']);
});

test('an account that was registered with the operator’s email loses access to it', async () => {
  const user = await start({});
  const squatter = { email: 'ops@example.com', password: 'squatters own', name: 'S', role: 'rider' };
  const { tokens } = parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body: squatter }));
  const later = await start(operator);
  expect((await login(later, squatter.password)).status).toBe(401);
  const body = { refreshToken: tokens.refreshToken };
  expect((await later.send('POST', '/v1/auth/refresh', { body })).status).toBe(401);
  expect(parseAs(LoginSession, await login(later, operator.OPS_PASSWORD)).person.role).toBe('ops');
});

test('a start with only half of the operator settings fails', () => {
  expect(() => harness.createInstance({ settings: { OPS_EMAIL: 'ops@example.com' } })).toThrow(
    'OPS_PASSWORD',
  );
  expect(() => harness.createInstance({ settings: { OPS_PASSWORD: 'a long password' } })).toThrow(
    'OPS_EMAIL',
  );
});

test('errors name invalid settings without their values', () => {
  const wrong = { OPS_EMAIL: 'nobody', OPS_PASSWORD: 'short', SIGNING_KEY_SECRET: 'too short' };
  const start = () => harness.createInstance({ settings: wrong });
  expect(start).toThrow('OPS_EMAIL is invalid');
  expect(start).toThrow('OPS_PASSWORD is invalid');
  expect(start).toThrow('SIGNING_KEY_SECRET is invalid');
  for (const value of Object.values(wrong)) expect(start).not.toThrow(value);
});
