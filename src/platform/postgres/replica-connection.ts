import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Lsn } from './read-consistency.ts';
import type { Sql } from './sql.ts';

/**
 * What reads know of the replica. A monitor runs while it is not `following`.
 *
 *               cannot catch up in time
 *   following ───────────────────────────► lagging ◄──┐ answers again
 *    ▲      │                              │     │     │
 *    │      └─── no answer, promoted ──────┼─────┴──► away
 *    └──── has replayed what was committed ┘
 *          one round before
 *
 * `lagging`: the replica answers, but is too far behind to wait for it.
 * `away`: the replica does not answer, or it was promoted to primary.
 */
export type ReplicaState = 'following' | 'lagging' | 'away';

export interface ReplicaConnectionDeps {
  context: string;
  /** Opens a new pool of connections to the replica. */
  openPool: () => Sql;
  /** Reads what the primary has committed. */
  readCommittedLsn: () => Promise<Lsn>;
  /** Reads what the replica has replayed, on the current pool. */
  readReplayedLsn: () => Promise<Lsn>;
  /** Called when the pool was replaced: what was known of the replica may be wrong. */
  onReopened: () => void;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

const laggingPollMs = 50;
const awayPollMs = 500;

/** The pool of connections to the replica, and whether reads may use it. */
export function createReplicaConnection(deps: ReplicaConnectionDeps) {
  const { context, openPool, readCommittedLsn, readReplayedLsn, onReopened, clock, log, metrics } = deps;
  const closing = new AbortController();
  let pool = openPool();
  let state: ReplicaState = 'following';
  let monitoring: Promise<void> | undefined;
  metrics.gauge('database_replica_following', () => (state === 'following' ? 1 : 0), { context });

  return {
    pool: () => pool,
    state: () => state,
    /** Aborts when the connection is closed. */
    closing: closing.signal,
    leave,
    async close() {
      closing.abort();
      await Promise.all([pool.end({ timeout: 5 }), monitoring]);
    },
  };

  /** Sends reads to the primary until the replica has caught up again. */
  function leave(next: 'lagging' | 'away', error?: unknown): void {
    if (state === 'away' || state === next || closing.signal.aborted) return;
    if (next === 'away') reopenPool();
    log.warn({ context, replica: next, err: error }, 'reads go to the primary');
    state = next;
    monitoring ??= monitor().finally(() => {
      monitoring = undefined;
    });
  }

  /** Statements in flight may hang on their connections for ever, so none of these is used again. */
  function reopenPool(): void {
    void pool.end({ timeout: 0 }).catch(() => undefined);
    pool = openPool();
    onReopened();
  }

  /** Ends when the replica has replayed what was committed one round before. */
  async function monitor(): Promise<void> {
    let targetLsn: Lsn | undefined;
    while (!closing.signal.aborted) {
      await clock.sleep(state === 'lagging' ? laggingPollMs : awayPollMs, closing.signal);
      if (closing.signal.aborted) return;
      try {
        const replayedLsn = await readReplayedLsn();
        if (targetLsn !== undefined && replayedLsn >= targetLsn) break;
        state = 'lagging';
        targetLsn = await readCommittedLsn();
      } catch (error) {
        targetLsn = undefined;
        if (state === 'away') reopenPool();
        else leave('away', error);
      }
    }
    state = 'following';
    log.info({ context }, 'reads go to the replica again');
  }
}
