import type { PersonId } from '@contracts/ids.ts';
import type { Role, UpdateMeBody } from '@contracts/people.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';

export interface Account {
  id: PersonId;
  email: string;
  name: string;
  phone: string | null;
  role: Role;
  createdAtMs: number;
}

export interface Credentials {
  account: Account;
  passwordHash: string;
}

export interface NewAccount extends Account {
  passwordHash: string;
}

/** A refresh token to be kept: by its hash alone. */
export interface NewRefreshToken {
  hash: Uint8Array;
  issuedAtMs: number;
  expiresAtMs: number;
}

export interface NewSession {
  id: string;
  token: NewRefreshToken;
}

export type Rotation =
  | { kind: 'rotated'; account: Account; sessionId: string }
  /** The token was used before: its session is revoked now. */
  | { kind: 'reused'; personId: PersonId; sessionId: string }
  /** Unknown, expired, or its session is over. */
  | { kind: 'refused' };

export interface SigningKeyRow {
  /** 1, 2, 3 …: one key for each. */
  generation: number;
  kid: string;
  publicX: string;
  sealedSeed: Uint8Array;
  activeFromMs: number;
  retiredAtMs: number | null;
}

export type UserStore = ReturnType<typeof createUserStore>;

/** Reads go to the primary: who has just registered must be able to log in. */
export function createUserStore(database: Database) {
  const sql = database.primary;
  return { ...people(sql), ...sessions(sql), ...signingKeys(sql) };
}

function people(sql: Sql) {
  const columns = sql`id, email, name, phone, role, created_at_ms as "createdAtMs"`;

  return {
    /** The account with its first session, or undefined when the email is taken. */
    async register(account: NewAccount, session: NewSession): Promise<Account | undefined> {
      const { id, email, name, phone, role, passwordHash, createdAtMs } = account;
      const [created] = await sql<Account[]>`
        with created as (
          insert into people (id, email, name, phone, role, password_hash, created_at_ms, updated_at_ms)
          values (${id}, ${email}, ${name}, ${phone}, ${role}, ${passwordHash}, ${createdAtMs}, ${createdAtMs})
          on conflict (email) do nothing
          returning *
        ), ${openSession(sql, session, 'created')}
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

    /** Changes what `changes` names; undefined when there is no such person. */
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
     * Makes the account, or gives the one with this email the role and the password; whoever was logged
     * in to it before is not any more.
     */
    async putOperator(account: NewAccount): Promise<void> {
      const { id, email, name, phone, role, passwordHash, createdAtMs: nowMs } = account;
      await sql`
        with kept as (
          insert into people (id, email, name, phone, role, password_hash, created_at_ms, updated_at_ms)
          values (${id}, ${email}, ${name}, ${phone}, ${role}, ${passwordHash}, ${nowMs}, ${nowMs})
          on conflict (email) do update set
            role = excluded.role, password_hash = excluded.password_hash, updated_at_ms = excluded.updated_at_ms
          returning id
        )
        update sessions set revoked_at_ms = ${nowMs}, revoked_for = 'credentials_changed'
        from kept where sessions.person_id = kept.id and revoked_at_ms is null`;
    },
  };
}

function sessions(sql: Sql) {
  return {
    async openSession(personId: PersonId, session: NewSession): Promise<void> {
      await sql`
        with person as (select id from people where id = ${personId}),
             ${openSession(sql, session, 'person')}
        select from person`;
    },

    /**
     * Spends the token shown and keeps `next` in its place, or ends the session when it was spent
     * before. The row lock makes two callers with one token take turns: the second sees it spent.
     */
    async rotate(hash: Uint8Array, next: NewRefreshToken): Promise<Rotation> {
      const { issuedAtMs: nowMs, expiresAtMs } = next;
      const [row] = await sql<(Account & { kind: 'rotated' | 'reused'; sessionId: string })[]>`
        with shown as (
          select hash, session_id, used_at_ms, expires_at_ms from refresh_tokens where hash = ${hash} for update
        ), extended as (
          update sessions s set expires_at_ms = ${expiresAtMs} from shown
          where s.id = shown.session_id and s.revoked_at_ms is null
            and shown.used_at_ms is null and shown.expires_at_ms > ${nowMs}
          returning s.id, s.person_id
        ), spent as (
          update refresh_tokens t set used_at_ms = ${nowMs} from extended where t.hash = ${hash}
        ), kept as (
          insert into refresh_tokens (hash, session_id, issued_at_ms, expires_at_ms)
          select ${next.hash}::bytea, id, ${nowMs}::bigint, ${expiresAtMs}::bigint from extended
        ), reused as (
          update sessions s set revoked_at_ms = ${nowMs}, revoked_for = 'reuse' from shown
          where s.id = shown.session_id and s.revoked_at_ms is null and shown.used_at_ms is not null
          returning s.id, s.person_id
        ), outcome as (
          select 'rotated' as kind, * from extended union all select 'reused', * from reused
        )
        select o.kind, o.id as "sessionId", p.id, p.email, p.name, p.phone, p.role,
               p.created_at_ms as "createdAtMs"
        from outcome o join people p on p.id = o.person_id`;
      if (row === undefined) return { kind: 'refused' };
      const { kind, sessionId, ...account } = row;
      return kind === 'rotated' ? { kind, account, sessionId } : { kind, personId: account.id, sessionId };
    },

    /** Ends the session that the token belongs to, if any. */
    async closeSession(hash: Uint8Array, nowMs: number): Promise<void> {
      await sql`
        update sessions set revoked_at_ms = ${nowMs}, revoked_for = 'logout'
        from refresh_tokens t
        where t.hash = ${hash} and sessions.id = t.session_id and revoked_at_ms is null`;
    },

    /** Forgets expired tokens and sessions, at most `rowsMax` of each; gives how many it forgot. */
    async sweep(nowMs: number, rowsMax: number): Promise<number> {
      const [row] = await sql<{ swept: number }[]>`
        with old_tokens as (
          delete from refresh_tokens where hash = any(array(
            select hash from refresh_tokens where expires_at_ms <= ${nowMs} limit ${rowsMax}
            for update skip locked))
          returning 1
        ), old_sessions as (
          delete from sessions where id = any(array(
            select id from sessions s where expires_at_ms <= ${nowMs}
              and not exists (select from refresh_tokens t where t.session_id = s.id)
            limit ${rowsMax} for update skip locked))
          returning 1
        )
        select ((select count(*) from old_tokens) + (select count(*) from old_sessions))::int as swept`;
      return row?.swept ?? 0;
    },
  };
}

function signingKeys(sql: Sql) {
  return {
    async signingKeys(): Promise<SigningKeyRow[]> {
      return sql<SigningKeyRow[]>`
        select generation, kid, public_x as "publicX", sealed_seed as "sealedSeed",
               active_from_ms as "activeFromMs", retired_at_ms as "retiredAtMs"
        from signing_keys`;
    },

    /** Keeps the key unless its generation has one already. */
    async addSigningKey(key: SigningKeyRow, nowMs: number): Promise<void> {
      await sql`
        insert into signing_keys
          (generation, kid, public_x, sealed_seed, created_at_ms, active_from_ms, retired_at_ms)
        values (${key.generation}, ${key.kid}, ${key.publicX}, ${key.sealedSeed}, ${nowMs},
                ${key.activeFromMs}, ${key.retiredAtMs})
        on conflict (generation) do nothing`;
    },
  };
}

/** CTEs that open `session` with its first refresh token for the person in the CTE named `owner` (one row or none). */
function openSession(sql: Sql, { id, token }: NewSession, owner: string) {
  return sql`
    opened as (
      insert into sessions (id, person_id, created_at_ms, expires_at_ms)
      select ${id}::uuid, id, ${token.issuedAtMs}::bigint, ${token.expiresAtMs}::bigint from ${sql(owner)}
      returning id
    ), first_token as (
      insert into refresh_tokens (hash, session_id, issued_at_ms, expires_at_ms)
      select ${token.hash}::bytea, id, ${token.issuedAtMs}::bigint, ${token.expiresAtMs}::bigint from opened
    )`;
}
