import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { isOutage } from '../outage.ts';
import { type Lsn, type ReadConsistencyToken, raiseLsn } from './read-consistency.ts';
import { createReplicaConnection } from './replica-connection.ts';
import { ReplicaUnavailableError, readWithLsn } from './replica-lsn.ts';
import { createReplicaProgress, type ReplicaLimits } from './replica-progress.ts';
import type { Sql } from './sql.ts';

export interface ReplicaOptions {
  context: string;
  primary: Sql;
  /** Opens a new pool of connections to the replica: to one server, never to several behind one address. */
  open: () => Sql;
  limits: ReplicaLimits;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

export const replicaLimitsDefault: ReplicaLimits = { waitMs: 20, timeoutMs: 500, staleMsMax: 1_000 };

export interface ReplicaReads {
  read<T>(token: ReadConsistencyToken, query: (sql: Sql) => Promise<T>): Promise<T>;
  raiseToCommitted(token: ReadConsistencyToken): Promise<void>;
  close(): Promise<void>;
}

/**
 * Reads from a replica that never return less than their reader has seen or written (docs/adr/0007).
 *
 * Each read has a fence: the LSN in its token, or else what the primary has committed at the time of the read, asked
 * once for all concurrent reads. The LSN of the replica is read on the same connection right before the read: a
 * replica that was killed comes back *older* than it was, so what is remembered of it proves nothing. Whatever fails,
 * the primary answers.
 */
export function createReplicaReads(options: ReplicaOptions): ReplicaReads {
  const { context, primary, limits, clock, log, metrics } = options;
  const progress = createReplicaProgress({
    context,
    primary,
    replicaPool: () => replica.pool(),
    limits,
    clock,
  });
  const replica = createReplicaConnection({
    context,
    openPool: options.open,
    readCommittedLsn: async () => (await progress.fetchCommitted()).lsn,
    readReplayedLsn: progress.fetchReplayedLsn,
    onReopened: () => progress.noteReplayed(0),
    clock,
    log,
    metrics,
  });

  return {
    async read(token, query) {
      const result = replica.state() === 'following' ? await tryReplica(token, query) : undefined;
      if (result !== undefined) return result.value;
      const state = replica.state();
      if (state !== 'following') countRead('primary', state);
      const value = await query(primary);
      if (token.isRequested) await raiseToCommitted(token);
      return value;
    },
    raiseToCommitted,
    close: replica.close,
  };

  /** The write or read has been answered: if the primary cannot be asked, the token forgets this context instead. */
  async function raiseToCommitted(token: ReadConsistencyToken): Promise<void> {
    try {
      raiseLsn(token, context, (await progress.fetchCommitted()).lsn);
    } catch {
      token.lsnByContext.delete(context);
    }
  }

  async function tryReplica<T>(token: ReadConsistencyToken, query: (sql: Sql) => Promise<T>) {
    const fence = await progress.fenceOf(token).catch(() => undefined);
    if (fence === undefined) {
      // The primary is slow or unavailable: the read there will report that itself.
      countRead('primary', 'failed');
      return undefined;
    }
    try {
      if (!(await progress.waitUntilReplayed(fence.lsn, replica.closing))) {
        replica.leave('lagging');
        return undefined;
      }
      const { replayedLsn, value } = await progress.withinTimeout(readWithLsn(replica.pool(), query));
      progress.noteReplayed(replayedLsn);
      if (replayedLsn < fence.lsn) {
        countRead('primary', 'behind');
        return undefined;
      }
      progress.noteReached(fence);
      if (token.isRequested) await raiseToReplayed(token, replayedLsn);
      countRead('replica', fence.committedAtMs === undefined ? 'token' : 'fresh');
      return { value };
    } catch (error) {
      // An error of the statement itself happens again at the primary, which then reports it.
      if (isOutage(error) || error instanceof ReplicaUnavailableError) replica.leave('away', error);
      else countRead('primary', 'failed');
      return undefined;
    }
  }

  /**
   * The snapshot of the read may hold more than the LSN read before it, but never more than one read after it, which
   * is fetched once for all reads that end together. A server whose LSN went back was restarted in between.
   */
  async function raiseToReplayed(token: ReadConsistencyToken, replayedLsn: Lsn): Promise<void> {
    const laterLsn = await progress.fetchReplayedLsn();
    if (laterLsn < replayedLsn) throw new ReplicaUnavailableError();
    raiseLsn(token, context, laterLsn);
  }

  function countRead(source: 'replica' | 'primary', reason: string): void {
    metrics.count('database_reads_total', { context, source, reason });
  }
}
