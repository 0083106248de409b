import { afterEach, beforeEach, expect, test } from 'bun:test';
import { LoginSession, Person, Tokens } from '@contracts/people.ts';
import {
  createTestUser,
  parseAs,
  problemCodeOf,
  type TestUser,
  type TestUserInstance,
} from './testing/harness.ts';

let harness: TestUser;
let user: TestUserInstance;
let token: string;
let tokens: Tokens;
let person: Person;
beforeEach(async () => {
  harness = await createTestUser();
  user = harness.createInstance();
  await user.context.prepare();
  const body = { email: 'chi@example.com', password: 'correct horse 4', name: 'Chi', role: 'rider' };
  const session = parseAs(LoginSession, await user.send('POST', '/v1/auth/register', { body }));
  tokens = session.tokens;
  token = tokens.accessToken;
  person = session.person;
});
afterEach(() => harness.close());

const patch = (body: unknown) => user.send('PATCH', '/v1/users/me', { body, token });
const read = async () => parseAs(Person, await user.send('GET', '/v1/users/me', { token }));

test('GET /v1/users/me returns the person as registered', async () => {
  expect(await read()).toEqual(person);
});

test('the next access token has the new name, even if it has the maximum length', async () => {
  const nameOf = async (accessToken: string) => (await user.verifier.verify(accessToken)).name;
  expect(await nameOf(token)).toBe('Chi');
  for (const name of ['Chị Chi', '字'.repeat(100)]) {
    await patch({ name });
    const { refreshToken } = tokens;
    tokens = parseAs(Tokens, await user.send('POST', '/v1/auth/refresh', { body: { refreshToken } }));
    expect(await nameOf(tokens.accessToken)).toBe(name);
  }
});

test('PATCH changes only the given fields, and null removes the phone number', async () => {
  expect(parseAs(Person, await patch({ phone: '+84901234567' }))).toEqual({
    ...person,
    phone: '+84901234567',
  });
  expect(parseAs(Person, await patch({ name: 'Chị Chi' }))).toEqual({
    ...person,
    name: 'Chị Chi',
    phone: '+84901234567',
  });
  expect(parseAs(Person, await patch({ phone: null }))).toEqual({ ...person, name: 'Chị Chi' });
  expect(await read()).toEqual({ ...person, name: 'Chị Chi' });
});

test('400 request.invalid for an empty change, a read-only field, or an invalid value', async () => {
  const wrong: unknown[] = [
    {},
    { name: '' },
    { name: null },
    { name: 'x'.repeat(101) },
    { name: 'a\nb' },
    { phone: '123' },
    { role: 'ops' },
    { name: 'Chi', role: 'ops' },
    { email: 'other@example.com' },
    { id: person.id },
    [],
    null,
  ];
  for (const body of wrong) {
    const answer = await patch(body);
    expect([body, answer.status, problemCodeOf(answer)]).toEqual([body, 400, 'request.invalid']);
  }
  const malformed = await patch('{');
  expect([malformed.status, problemCodeOf(malformed)]).toEqual([400, 'request.malformed']);
  expect(await read()).toEqual(person);
});

test('404 user.not_found for the token of a deleted account', async () => {
  await user.database.primary`with s as (delete from sessions) select`;
  await user.database.primary`delete from people`;
  for (const answer of [await user.send('GET', '/v1/users/me', { token }), await patch({ name: 'Chi' })]) {
    expect([answer.status, problemCodeOf(answer)]).toEqual([404, 'user.not_found']);
  }
});
