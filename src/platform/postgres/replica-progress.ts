import type { Clock } from '../clock.ts';
import { coalesceCalls } from './coalesce.ts';
import type { Lsn, ReadConsistencyToken } from './read-consistency.ts';
import { ReplicaUnavailableError, readCommittedLsn, readReplayedLsn } from './replica-lsn.ts';
import type { Sql } from './sql.ts';

export interface ReplicaLimits {
  /** How long a read waits for the replica to catch up before it goes to the primary. */
  waitMs: number;
  /** After this long without an answer the replica counts as unavailable. */
  timeoutMs: number;
  /** How old the view of a token may be before the primary is asked again. */
  staleMsMax: number;
}

/** How new a read must be. `committedAtMs` is set when the primary was asked: `lsn` is all that was committed then. */
export interface Fence {
  lsn: Lsn;
  committedAtMs?: number;
}

export interface ReplicaProgressDeps {
  context: string;
  primary: Sql;
  /** The current pool of connections to the replica. */
  replicaPool: () => Sql;
  limits: ReplicaLimits;
  clock: Clock;
}

const waitPollMs = 2;

/** How much the primary has committed and the replica has replayed, each asked once for all concurrent callers. */
export function createReplicaProgress({ context, primary, replicaPool, limits, clock }: ReplicaProgressDeps) {
  // These are hints that save round trips. The check on the connection of the read decides.
  let knownCommittedLsn: Lsn = 0;
  let knownReplayedLsn: Lsn = 0;
  let caughtUpAtMs = Number.NEGATIVE_INFINITY;

  const fetchCommitted = coalesceCalls(async (): Promise<Required<Fence>> => {
    const committedAtMs = clock.nowMs();
    knownCommittedLsn = await withinTimeout(readCommittedLsn(primary));
    return { lsn: knownCommittedLsn, committedAtMs };
  });
  const fetchReplayedLsn = coalesceCalls(async () => {
    knownReplayedLsn = await withinTimeout(readReplayedLsn(replicaPool()));
    return knownReplayedLsn;
  });

  return {
    fetchCommitted,
    fetchReplayedLsn,
    withinTimeout,

    /**
     * The LSN that a read must have reached. A token counts only while the replica was seen up to date recently:
     * otherwise a frozen replica would show its past for ever to clients that need no more than their own writes. And
     * it counts only up to the LSN that is known to be committed, since it may come from before a failover, or be
     * forged.
     */
    async fenceOf(token: ReadConsistencyToken): Promise<Fence> {
      const lsn = token.lsnByContext.get(context);
      const isRecent = clock.nowMs() - caughtUpAtMs <= limits.staleMsMax;
      if (lsn !== undefined && isRecent && lsn <= knownCommittedLsn) return { lsn };
      return fetchCommitted();
    },

    /** False when the replica did not replay up to `lsn` in time. */
    async waitUntilReplayed(lsn: Lsn, closing: AbortSignal): Promise<boolean> {
      if (knownReplayedLsn >= lsn) return true;
      const deadlineMs = clock.nowMs() + limits.waitMs;
      while ((await fetchReplayedLsn()) < lsn) {
        if (clock.nowMs() >= deadlineMs || closing.aborted) return false;
        await clock.sleep(waitPollMs, closing);
      }
      return true;
    },

    noteReplayed(lsn: Lsn): void {
      knownReplayedLsn = lsn;
    },
    /** A read at the replica has reached `fence`. */
    noteReached({ committedAtMs }: Fence): void {
      if (committedAtMs !== undefined) caughtUpAtMs = Math.max(caughtUpAtMs, committedAtMs);
    },
  };

  async function withinTimeout<T>(work: Promise<T>): Promise<T> {
    const done = new AbortController();
    const timeout = clock.sleep(limits.timeoutMs, done.signal).then(() => {
      throw new ReplicaUnavailableError();
    });
    try {
      return await Promise.race([work, timeout]);
    } finally {
      done.abort();
      timeout.catch(() => undefined);
      work.catch(() => undefined);
    }
  }
}
