import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { EventId, PersonId } from '@contracts/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import { createPlannedDatabase, type PlannedDatabase } from '@testing/query-plans.ts';
import { createTestUser, type TestUser } from '../testing/harness.ts';
import { createUserStore, type UserStore } from './store.ts';

let world: TestUser;
let planned: PlannedDatabase;
let store: UserStore;
beforeAll(async () => {
  world = await createTestUser();
  const { context, database } = world.createInstance();
  await context.prepare();
  await fill(database, world.clock.nowMs());
  planned = createPlannedDatabase(world.databaseUrl, 'user');
  store = createUserStore(planned.database);
}, 30_000);
afterAll(async () => {
  await planned.close();
  await world.close();
}, 30_000);

/** 5,000 people, each with two sessions of two refresh tokens; 40 sessions have run out. */
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
  issuedAtMs: world.clock.nowMs(),
  expiresAtMs: world.clock.nowMs() + 1,
});

const eventId = '00000005-0000-7000-8000-000000000001' as EventId;
const signOut = () => ({ eventId, atMs: world.clock.nowMs() });

const ban = {
  id: '00000004-0000-7000-8000-000000000001',
  operatorId: personId,
  personId,
  reason: 'for a test',
  atMs: 1,
};
const failure = { key: '77', spacingMs: 1 };

test.each<[string, string, () => Promise<unknown>]>([
  ['who logs in', 'people_email_key', () => store.findCredentials('p77@example.com')],
  ['a person', 'people_pkey', () => store.find(personId)],
  ['a refresh', 'refresh_tokens_pkey', () => store.rotateRefreshToken(hash, next(), 30_000, signOut())],
  ['its session', 'sessions_pkey', () => store.rotateRefreshToken(hash, next(), 30_000, signOut())],
  ['the other sessions at a logout', 'sessions_person_live', () => store.closeSession(hash, signOut())],
  ['a logout', 'refresh_tokens_pkey', () => store.closeSession(hash, signOut())],
  ['sessions that ended', 'sessions_revoked_at', () => store.findEndedSessions({ sinceMs: 1 }, 5)],
  ['the sessions of who is banned', 'people_banned_at', () => store.findEndedSessions({ sinceMs: 1 }, 5)],
  ['who to ban', 'people_pkey', () => store.ban(ban, eventId)],
  ['the sessions of whom to ban', 'sessions_person_live', () => store.ban(ban, eventId)],
  ['what was done to a person', 'operator_actions_person', () => store.findActionsOn(personId)],
  ['failures to count', 'login_failures_pkey', () => store.uncountLoginAttempt([failure], failure.key)],
  ['failures to forget', 'login_failures_arrival', () => store.sweep(world.clock.nowMs() - 30, 0, 5)],
  ['tokens to forget', 'refresh_tokens_expires_at', () => store.sweep(world.clock.nowMs() - 30, 0, 5)],
  ['sessions to forget', 'sessions_expires_at', () => store.sweep(world.clock.nowMs() - 30, 0, 5)],
])('%s: by %s', async (_, index, work) => {
  const plan = await planned.plansOf(work);
  expect(plan).toContain(index);
  for (const table of ['people', 'sessions', 'refresh_tokens', 'operator_actions', 'login_failures'])
    expect(plan).not.toContain(`Seq Scan on ${table}`);
});
