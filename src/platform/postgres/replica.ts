import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { isOutage } from '../outage.ts';
import { coalesceCalls } from './coalesce.ts';
import type { Sql } from './database.ts';
import { type Lsn, type ReadConsistencyToken, raiseLsn } from './read-consistency.ts';

export interface ReplicaOptions {
  context: string;
  primary: Sql;
  /** A new pool of connections to the replica: one server, never several behind one address. */
  open: () => Sql;
  limits: ReplicaLimits;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export interface ReplicaLimits {
  /** How long a read waits for the replica to catch up before it goes to the primary. */
  waitMs: number;
  /** After this long without an answer the replica counts as away. */
  timeoutMs: number;
  /** How old a token's view may be before the primary is asked again. */
  staleMsMax: number;
}

export const replicaLimitsDefault: ReplicaLimits = { waitMs: 20, timeoutMs: 500, staleMsMax: 1_000 };

export interface ReplicaReads {
  read<T>(session: ReadConsistencyToken, query: (sql: Sql) => Promise<T>): Promise<T>;
  raiseToCommitted(session: ReadConsistencyToken): Promise<void>;
  close(): Promise<void>;
}

/** How new a read must be; `takenAtMs` when the primary was asked for it, and it is all that was committed then. */
interface Fence {
  position: Lsn;
  takenAtMs?: number;
}

/**
 * `following`: reads go to the replica. `lagging`: it answers, but is too far behind to be waited for.
 * `away`: it does not answer, or follows nobody. A watch runs while it is not `following`.
 */
type Standing = 'following' | 'lagging' | 'away';

const waitPollMs = 2;
const laggingPollMs = 50;
const awayPollMs = 500;

/**
 * Reads at a replica that never show less than their reader has seen or done (docs/adr/0007).
 *
 * A read has a fence: the position in its session's token, or else what the primary has committed at
 * the moment of the read, asked once for all reads that come together. The replica's own position is
 * read on the same connection right before the read: a replica that was killed comes back *older*
 * than it was, so what is remembered of it proves nothing. Whatever goes wrong, the primary answers.
 */
export function createReplicaReads(options: ReplicaOptions): ReplicaReads {
  const { context, primary, limits, clock, log, metrics } = options;
  const closing = new AbortController();
  let pool = options.open();
  let standing: Standing = 'following';
  let watching: Promise<void> | undefined;
  // Hints: they save round trips, the check on the connection of the read decides.
  let committedSeen: Lsn = 0;
  let replayedSeen: Lsn = 0;
  let caughtUpAtMs = Number.NEGATIVE_INFINITY;
  metrics.gauge('database_replica_following', () => (standing === 'following' ? 1 : 0), { context });

  const committed = coalesceCalls(async (): Promise<Required<Fence>> => {
    const takenAtMs = clock.nowMs();
    committedSeen = await within(committedOn(primary));
    return { position: committedSeen, takenAtMs };
  });
  const replayed = coalesceCalls(async () => {
    replayedSeen = await within(replayedOn(pool));
    return replayedSeen;
  });

  return {
    async read(session, query) {
      const atReplica = standing === 'following' ? await tryReplica(session, query) : undefined;
      if (atReplica !== undefined) return atReplica.value;
      if (standing !== 'following') count('primary', standing);
      const value = await query(primary);
      if (session.isRequested) await raiseToCommitted(session);
      return value;
    },
    raiseToCommitted,
    async close() {
      closing.abort();
      await Promise.all([pool.end({ timeout: 5 }), watching]);
    },
  };

  /** The answer has been given already: when the primary can't be asked, the token forgets this context instead. */
  async function raiseToCommitted(session: ReadConsistencyToken): Promise<void> {
    try {
      raiseLsn(session, context, (await committed()).position);
    } catch {
      session.lsnByContext.delete(context);
    }
  }

  async function tryReplica<T>(session: ReadConsistencyToken, query: (sql: Sql) => Promise<T>) {
    const fence = await fenceOf(session).catch(() => undefined);
    if (fence === undefined) {
      // The primary is slow or away: it tells so itself.
      count('primary', 'failed');
      return undefined;
    }
    try {
      if (replayedSeen < fence.position && !(await catchesUp(fence))) {
        leave('lagging');
        return undefined;
      }
      const found = await within(readAt(pool, query));
      replayedSeen = found.before;
      if (found.before < fence.position) {
        count('primary', 'behind');
        return undefined;
      }
      if (fence.takenAtMs !== undefined) caughtUpAtMs = Math.max(caughtUpAtMs, fence.takenAtMs);
      if (session.isRequested) await seenUpTo(session, found.before);
      count('replica', fence.takenAtMs === undefined ? 'token' : 'fresh');
      return { value: found.value };
    } catch (error) {
      // An error of the statement itself comes again at the primary, to be told from there.
      if (isOutage(error) || error instanceof ReplicaSilentError) leave('away', error);
      else count('primary', 'failed');
      return undefined;
    }
  }

  /**
   * A token counts while the replica was seen to be up to date lately, else a frozen replica would show
   * its past for ever to those who ask for no more than their own; and only up to what is known to be
   * committed, since it may come from before a failover, or from a forger.
   */
  async function fenceOf(session: ReadConsistencyToken): Promise<Fence> {
    const position = session.lsnByContext.get(context);
    const isRecent = clock.nowMs() - caughtUpAtMs <= limits.staleMsMax;
    if (position !== undefined && isRecent && position <= committedSeen) return { position };
    return committed();
  }

  async function catchesUp({ position }: Fence): Promise<boolean> {
    const giveUpAtMs = clock.nowMs() + limits.waitMs;
    while ((await replayed()) < position) {
      if (clock.nowMs() >= giveUpAtMs || closing.signal.aborted) return false;
      await clock.sleep(waitPollMs, closing.signal);
    }
    return true;
  }

  /**
   * The read's snapshot may hold more than the position before it, never more than one taken after it,
   * for all reads that end together. A server that is behind itself was restarted meanwhile.
   */
  async function seenUpTo(session: ReadConsistencyToken, before: Lsn): Promise<void> {
    const after = await replayed();
    if (after < before) throw new ReplicaSilentError();
    raiseLsn(session, context, after);
  }

  function leave(next: 'lagging' | 'away', error?: unknown): void {
    if (standing === 'away' || standing === next || closing.signal.aborted) return;
    if (next === 'away') reopen();
    log.warn({ context, replica: next, err: error }, 'reads go to the primary');
    standing = next;
    watching ??= watch().finally(() => {
      watching = undefined;
    });
  }

  /** What is under way may hang for ever on its connections: none of them is used again. */
  function reopen(): void {
    void pool.end({ timeout: 0 }).catch(() => undefined);
    pool = options.open();
    replayedSeen = 0;
  }

  /** Ends when the replica has replayed what was committed at the round before. */
  async function watch(): Promise<void> {
    let target: Lsn | undefined;
    while (!closing.signal.aborted) {
      await clock.sleep(standing === 'lagging' ? laggingPollMs : awayPollMs, closing.signal);
      if (closing.signal.aborted) return;
      try {
        const position = await replayed();
        if (target !== undefined && position >= target) break;
        standing = 'lagging';
        target = (await committed()).position;
      } catch (error) {
        target = undefined;
        if (standing === 'away') reopen();
        else leave('away', error);
      }
    }
    standing = 'following';
    log.info({ context }, 'reads go to the replica again');
  }

  async function within<T>(work: Promise<T>): Promise<T> {
    const done = new AbortController();
    const late = clock.sleep(limits.timeoutMs, done.signal).then(() => {
      throw new ReplicaSilentError();
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      done.abort();
      late.catch(() => undefined);
      work.catch(() => undefined);
    }
  }

  function count(source: 'replica' | 'primary', reason: string): void {
    metrics.count('database_reads_total', { context, source, reason });
  }
}

class ReplicaSilentError extends Error {
  constructor() {
    super('no answer in time');
  }
}

async function committedOn(sql: Sql): Promise<Lsn> {
  const [row] = await sql<{ at: Lsn }[]>`select (pg_current_wal_flush_lsn() - '0/0')::bigint as at`;
  return row?.at ?? 0;
}

/** Rejects when the server follows nobody: it is a primary, whatever it was before. */
async function replayedOn(sql: Sql): Promise<Lsn> {
  const [row] = await replayedQuery(sql);
  if (row === undefined || row.at === null) throw new ReplicaSilentError();
  return row.at;
}

// Null on a server that was promoted, whose last replayed position means nothing any more.
const replayedQuery = (sql: Sql) => sql<{ at: Lsn | null }[]>`
  select case when pg_is_in_recovery() then (pg_last_wal_replay_lsn() - '0/0')::bigint end as at`;

/**
 * The replica's position and then the read, sent together on one connection: the read's snapshot is
 * taken after the position, so it holds at least that much.
 */
async function readAt<T>(pool: Sql, query: (sql: Sql) => Promise<T>) {
  const connection = await pool.reserve();
  try {
    const positioning = replayedQuery(connection).execute();
    const [position, reading] = await Promise.allSettled([positioning, query(connection)]);
    if (position.status === 'rejected') throw position.reason;
    if (reading.status === 'rejected') throw reading.reason;
    const before = position.value[0]?.at;
    if (before === undefined || before === null) throw new ReplicaSilentError();
    return { before, value: reading.value };
  } finally {
    connection.release();
  }
}
