import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { EventId, PersonId } from '@contracts/ids.ts';
import { PersonRecord } from '@contracts/operators.ts';
import { LoginSession } from '@contracts/people.ts';
import { createUserStore } from '../store/store.ts';
import {
  createTestUser,
  parseAs,
  problemCodeOf,
  type TestUser,
  type TestUserInstance,
} from '../testing/harness.ts';

let harness: TestUser;
let user: TestUserInstance;
const ops = { email: 'öps@bücher.example', password: 'operators only' };
const canonicalOps = 'öps@xn--bcher-kva.example';
beforeEach(async () => {
  harness = await createTestUser();
  user = harness.createInstance({
    settings: { OPS_EMAIL: ops.email.normalize('NFD'), OPS_PASSWORD: ops.password },
  });
  await user.context.prepare();
});
afterEach(() => harness.close());

const password = 'correct horse 1';
const register = (email: string) =>
  user.send('POST', '/v1/auth/register', { body: { email, password, name: 'Ngọc', role: 'rider' } });
const login = (email: string, secret = password) =>
  user.send('POST', '/v1/auth/login', { body: { email, password: secret } });

/** Spellings of one address. The first one is canonical. */
const spellings = [
  ['ngọc@example.com', 'ngọc@example.com'.normalize('NFD'), 'NGỌC@EXAMPLE.COM', 'Ngọc@ｅｘａｍｐｌｅ.com'],
  [
    'a@xn--bcher-kva.example',
    'a@bücher.example',
    'A@BÜCHER.example'.normalize('NFD'),
    'a@XN--BCHER-KVA.Example',
  ],
  ['linh@example.com', 'Linh@example.com', 'LINH@EXAMPLE。COM'],
] as const;

describe.each(spellings.map((list) => [list] as const))('the spellings of %p', (list) => {
  const [canonical] = list;

  test('are one account at registration, login and operator search', async () => {
    const [first = '', ...others] = [...list].reverse();
    const { person } = parseAs(LoginSession, await register(first));
    expect(person.email).toBe(canonical);
    for (const other of others) {
      const again = await register(other);
      expect([other, again.status, problemCodeOf(again)]).toEqual([other, 409, 'user.email_taken']);
    }
    const operator = parseAs(LoginSession, await login(ops.email, ops.password));
    for (const spelling of list) {
      expect(parseAs(LoginSession, await login(spelling)).person).toEqual(person);
      const found = await user.send('GET', `/v1/ops/people?email=${encodeURIComponent(spelling)}`, {
        token: operator.tokens.accessToken,
      });
      expect(parseAs(PersonRecord, found).person).toEqual(person);
    }
  });

  test('share one limit of failed logins', async () => {
    await register(canonical);
    const statuses: number[] = [];
    for (let n = 0; n < 12; n++) statuses.push((await login(list[n % list.length] ?? '', 'wrong')).status);
    expect(statuses.slice(-2)).toEqual([429, 429]);
  });
});

test('the email of the operator account is stored in canonical spelling', async () => {
  expect(parseAs(LoginSession, await login(canonicalOps, ops.password)).person.email).toBe(canonicalOps);
  expect(() =>
    harness.createInstance({ settings: { OPS_EMAIL: 'ops@', OPS_PASSWORD: ops.password } }),
  ).toThrow('OPS_EMAIL is invalid');
});

describe('accounts from before the canonical spelling', () => {
  const old = async (email: string) => {
    const id = crypto.randomUUID() as PersonId;
    const passwordHash = await Bun.password.hash(password);
    await createUserStore(user.database).putOperator(
      { id, email, name: 'Ngọc', phone: null, role: 'rider', passwordHash, createdAtMs: 0 },
      crypto.randomUUID() as EventId,
    );
    await user.database.primary`update people set email_canonical = false where id = ${id}`;
    return id;
  };

  test('get the canonical spelling when the service starts', async () => {
    const id = await old('ngọc@bücher.example'.normalize('NFD'));
    await user.context.prepare();
    const { person } = parseAs(LoginSession, await login('Ngọc@bücher.example'));
    expect(person).toMatchObject({ id, email: 'ngọc@xn--bcher-kva.example' });
  });

  test('with the same address: the first by id gets it, and the log names the other', async () => {
    const ids = [await old('ngọc@example.com'.normalize('NFD')), await old('ngọc@example.com')].sort();
    await user.context.prepare();
    const rows = await user.database.primary<{ id: string; canonical: boolean }[]>`
      select id, email_canonical as canonical from people where id = any(${ids}::uuid[]) order by id`;
    expect(rows.filter(({ canonical }) => canonical)).toHaveLength(1);
    expect(harness.logLines.join('\n')).toContain('two accounts have the same email');
    expect((await login('ngọc@example.com')).status).toBe(200);
  });
});
