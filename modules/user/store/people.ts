import type { EventId, PersonId } from '@contracts/ids.ts';
import type { UpdateMeBody } from '@contracts/people.ts';
import type { Sql } from '@platform/postgres/database.ts';
import type { Account, Credentials, NewAccount } from './account.ts';
import { insertSession, type NewLoginSession } from './sessions.ts';
import { endAllSessions, insertSignedOutEvent } from './sign-outs.ts';

export function createPeopleStore(sql: Sql) {
  const columns = sql`id, email, name, phone, role, created_at_ms as "createdAtMs",
    banned_at_ms as "bannedAtMs"`;

  return {
    /** Creates the account with its first session. Undefined if the email is taken. */
    async register(account: NewAccount, session: NewLoginSession): Promise<Account | undefined> {
      const { id, email, name, phone, role, passwordHash, createdAtMs } = account;
      const [created] = await sql<Account[]>`
        with created as (
          insert into people (id, email, name, phone, role, password_hash, created_at_ms, updated_at_ms)
          values (${id}, ${email}, ${name}, ${phone}, ${role}, ${passwordHash}, ${createdAtMs}, ${createdAtMs})
          on conflict (email) do nothing
          returning *
        ), ${insertSession(sql, session, 'created')}
        select ${columns} from created`;
      return created;
    },

    async findCredentials(email: string): Promise<Credentials | undefined> {
      const [row] = await sql<(Account & { passwordHash: string })[]>`
        select ${columns}, password_hash as "passwordHash" from people where email = ${email}`;
      if (row === undefined) return undefined;
      const { passwordHash, ...account } = row;
      return { account, passwordHash };
    },

    async find(id: PersonId): Promise<Account | undefined> {
      const [account] = await sql<Account[]>`select ${columns} from people where id = ${id}`;
      return account;
    },

    /** Updates the fields in `changes`. Undefined if there is no such person. */
    async update(id: PersonId, changes: UpdateMeBody, nowMs: number): Promise<Account | undefined> {
      const [account] = await sql<Account[]>`
        update people set
          name = coalesce(${changes.name ?? null}, name),
          phone = case when ${changes.phone !== undefined} then ${changes.phone ?? null} else phone end,
          updated_at_ms = ${nowMs}
        where id = ${id}
        returning ${columns}`;
      return account;
    },

    /**
     * Creates the account, or sets role and password of the account with this email. Ends all its sessions,
     * and the event carries the role that the account had before.
     */
    async putOperator(account: NewAccount, eventId: EventId): Promise<void> {
      const { id, email, name, phone, role, passwordHash, createdAtMs: nowMs } = account;
      await sql`
        with before as materialized (
          select id, id as person_id, role from people where email = ${email}
        ), kept as (
          insert into people (id, email, name, phone, role, password_hash, created_at_ms, updated_at_ms)
          values (${id}, ${email}, ${name}, ${phone}, ${role}, ${passwordHash}, ${nowMs}, ${nowMs})
          on conflict (email) do update set
            role = excluded.role, password_hash = excluded.password_hash, updated_at_ms = excluded.updated_at_ms
          returning id
        ), ${endAllSessions(sql, 'before', nowMs, 'credentials_changed')},
        signed_out as (select id, role from before where exists (select from ended))
        ${insertSignedOutEvent(sql, { eventId, atMs: nowMs }, 'credentials_changed', 'signed_out')}`;
    },
  };
}
