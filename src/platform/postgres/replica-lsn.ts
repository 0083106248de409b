import type { Lsn } from './read-consistency.ts';
import type { Sql } from './sql.ts';

/** The replica did not answer in time, or it is no replica (any more). */
export class ReplicaUnavailableError extends Error {
  constructor() {
    super('the replica does not answer in time');
  }
}

/** Reads how much the primary has committed. */
export async function readCommittedLsn(primary: Sql): Promise<Lsn> {
  const [row] = await primary<{ at: Lsn }[]>`select (pg_current_wal_flush_lsn() - '0/0')::bigint as at`;
  return row?.at ?? 0;
}

/** Reads how much the replica has replayed. Rejects when the server is a primary, whatever it was before. */
export async function readReplayedLsn(replica: Sql): Promise<Lsn> {
  const [row] = await replayedLsnQuery(replica);
  if (row === undefined || row.at === null) throw new ReplicaUnavailableError();
  return row.at;
}

// Null on a server that was promoted: the last LSN that it replayed means nothing any more.
const replayedLsnQuery = (sql: Sql) => sql<{ at: Lsn | null }[]>`
  select case when pg_is_in_recovery() then (pg_last_wal_replay_lsn() - '0/0')::bigint end as at`;

/**
 * Reads the replayed LSN and then runs `query`, both sent together on one connection. The snapshot of the query is
 * taken after the LSN was read, so the result holds at least that much.
 */
export async function readWithLsn<T>(pool: Sql, query: (sql: Sql) => Promise<T>) {
  const connection = await pool.reserve();
  try {
    const readingLsn = replayedLsnQuery(connection).execute();
    const [lsn, result] = await Promise.allSettled([readingLsn, query(connection)]);
    if (lsn.status === 'rejected') throw lsn.reason;
    if (result.status === 'rejected') throw result.reason;
    const replayedLsn = lsn.value[0]?.at;
    if (replayedLsn === undefined || replayedLsn === null) throw new ReplicaUnavailableError();
    return { replayedLsn, value: result.value };
  } finally {
    connection.release();
  }
}
