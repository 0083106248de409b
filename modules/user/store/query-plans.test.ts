import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { EventId, PersonId } from '@contracts/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import { createPlannedDatabase, type PlannedDatabase } from '@testing/query-plans.ts';
import { createTestUser, type TestUser } from '../testing/harness.ts';
import { createUserStore, type UserStore } from './store.ts';

let harness: TestUser;
let planned: PlannedDatabase;
let store: UserStore;
beforeAll(async () => {
  harness = await createTestUser();
  const { context, database } = harness.createInstance();
  await context.prepare();
  await fill(database, harness.clock.nowMs());
  planned = createPlannedDatabase(harness.databaseUrl, 'user');
  store = createUserStore(planned.database);
}, 30_000);
afterAll(async () => {
  await planned.close();
  await harness.close();
}, 30_000);

/** Inserts 5,000 people, each with two sessions of two refresh tokens. 40 sessions have expired. */
async function fill({ primary: sql }: Database, nowMs: number): Promise<void> {
  await sql`
    insert into people (id, email, name, role, password_hash, created_at_ms, updated_at_ms)
    select ('00000001-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'p' || n || '@example.com', 'P', 'rider', 'x', 0, 0
    from generate_series(1, 5000) as n`;
  await sql`
    insert into sessions (id, person_id, created_at_ms, expires_at_ms)
    select ('00000002-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
           ('00000001-0000-7000-8000-' || lpad((n % 5000 + 1)::text, 12, '0'))::uuid, 0, ${nowMs}::bigint - 40 + n
    from generate_series(1, 10000) as n`;
  await sql`
    insert into refresh_tokens (hash, session_id, issued_at_ms, expires_at_ms)
    select sha256((id::text || t)::bytea), id, 0, expires_at_ms from sessions, generate_series(1, 2) as t`;
  await sql`
    update sessions set revoked_at_ms = 0, revoked_for = 'logout' where id::text like '%7'`;
  await sql`
    insert into operator_actions (id, operator_id, action, person_id, reason, at_ms)
    select ('00000003-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, id, 'unban', id, 'x', 0
    from (select row_number() over () as n, id from people) as p`;
  await sql`
    insert into login_failures (key, arrival_ms)
    select n::text, ${nowMs}::bigint - 40 + n from generate_series(1, 10000) as n`;
  await sql`analyze`;
}

const personId = '00000001-0000-7000-8000-000000000077' as PersonId;
const hash = new Bun.CryptoHasher('sha256').update('some token').digest();
const next = () => ({
  hash: Buffer.from('new'),
  salt: Buffer.from('salt'),
  issuedAtMs: harness.clock.nowMs(),
  expiresAtMs: harness.clock.nowMs() + 1,
});

const eventId = '00000005-0000-7000-8000-000000000001' as EventId;
const signOut = () => ({ eventId, atMs: harness.clock.nowMs() });

const ban = {
  id: '00000004-0000-7000-8000-000000000001',
  operatorId: personId,
  personId,
  reason: 'for a test',
  atMs: 1,
};
const failure = { key: '77', spacingMs: 1 };

test.each<[string, string, () => Promise<unknown>]>([
  ['credentials at login', 'people_email_key', () => store.findCredentials('p77@example.com')],
  ['reading a person', 'people_pkey', () => store.find(personId)],
  [
    'the token of a refresh',
    'refresh_tokens_pkey',
    () => store.rotateRefreshToken(hash, next(), 30_000, signOut()),
  ],
  [
    'the session of a refresh',
    'sessions_pkey',
    () => store.rotateRefreshToken(hash, next(), 30_000, signOut()),
  ],
  ['other sessions at a logout', 'sessions_person_live', () => store.closeSession(hash, signOut())],
  ['the token of a logout', 'refresh_tokens_pkey', () => store.closeSession(hash, signOut())],
  ['ended sessions', 'sessions_revoked_at', () => store.findEndedSessions({ sinceMs: 1 }, 5)],
  ['ended sessions of banned people', 'people_banned_at', () => store.findEndedSessions({ sinceMs: 1 }, 5)],
  ['the person of a ban', 'people_pkey', () => store.ban(ban, eventId)],
  ['the sessions of a ban', 'sessions_person_live', () => store.ban(ban, eventId)],
  ['operator actions on a person', 'operator_actions_person', () => store.findActionsOn(personId)],
  [
    'counters of failed logins',
    'login_failures_pkey',
    () => store.uncountLoginAttempt([failure], failure.key),
  ],
  ['counters to sweep', 'login_failures_arrival', () => store.sweep(harness.clock.nowMs() - 30, 0, 5)],
  ['tokens to sweep', 'refresh_tokens_expires_at', () => store.sweep(harness.clock.nowMs() - 30, 0, 5)],
  ['sessions to sweep', 'sessions_expires_at', () => store.sweep(harness.clock.nowMs() - 30, 0, 5)],
])('%s: found by index %s', async (_, index, work) => {
  const plan = await planned.plansOf(work);
  expect(plan).toContain(index);
  for (const table of ['people', 'sessions', 'refresh_tokens', 'operator_actions', 'login_failures'])
    expect(plan).not.toContain(`Seq Scan on ${table}`);
});
