import type { PersonId } from '@contracts/ids.ts';
import type { Sql } from '@platform/postgres/database.ts';

export interface StoredEmail {
  id: PersonId;
  email: string;
}

export function createEmailStore(sql: Sql) {
  return {
    /** Accounts whose stored email may not be canonical, ordered by id, from the one after `after`. */
    async findNonCanonicalEmails(after: PersonId | null, rowsMax: number): Promise<StoredEmail[]> {
      return sql<StoredEmail[]>`
        select id, email from people
        where not email_canonical and (${after}::uuid is null or id > ${after}::uuid)
        order by id limit ${rowsMax}`;
    },

    /** Changes nothing and returns false if another account has the canonical email. */
    async setCanonicalEmail({ id, email }: StoredEmail): Promise<boolean> {
      const rows = await sql`
        update people p set email = ${email}, email_canonical = true
        where p.id = ${id} and not exists (select from people o where o.email = ${email} and o.id <> p.id)
        returning 1`;
      return rows.length > 0;
    },
  };
}
