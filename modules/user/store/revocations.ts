import type { RevocationsCursor } from '@contracts/revocations.ts';
import type { Sql } from '@platform/postgres/database.ts';

export interface EndedSession {
  id: string;
  atMs: number;
}

const firstId = '00000000-0000-0000-0000-000000000000';

export function createRevocationStore(sql: Sql) {
  return {
    /**
     * Sessions that ended after the cursor, oldest first, at most `rowsMax`. For banned people it includes
     * sessions that the ban itself did not end: a login may have been in flight at the same time.
     */
    async findEndedSessions(after: RevocationsCursor, rowsMax: number): Promise<EndedSession[]> {
      const { sinceMs, afterId = firstId } = after;
      return sql<EndedSession[]>`
        select id, at_ms as "atMs" from (
          (select id, revoked_at_ms as at_ms from sessions
           where revoked_at_ms is not null and (revoked_at_ms, id) > (${sinceMs}, ${afterId}::uuid)
           order by revoked_at_ms, id limit ${rowsMax})
          union all
          (select s.id, p.banned_at_ms from people p join sessions s on s.person_id = p.id
           where p.banned_at_ms >= ${sinceMs} and (p.banned_at_ms, s.id) > (${sinceMs}, ${afterId}::uuid)
             and s.revoked_at_ms is null
           order by p.banned_at_ms, s.id limit ${rowsMax})
        ) as ended
        order by at_ms, id limit ${rowsMax}`;
    },
  };
}
