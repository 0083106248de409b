import type { Clock } from './clock.ts';
import { firstIdAt } from './ids.ts';
import { createLoop, type Loop } from './lifecycle.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Database } from './postgres/database.ts';
import { inboxRetentionDefaultMs } from './postgres/inbox.ts';

export interface SweeperOptions {
  database: Database;
  clock: Clock;
  log: Log;
  metrics?: Metrics;
  /** Longer than an event can still come again, dead letters sent on by hand included. */
  inboxRetentionMs?: number;
  /** How long a client may repeat a POST with its key. */
  idempotencyRetentionMs?: number;
  sweepEveryMs?: number;
  /** Rows deleted by one statement, at most: short locks, small bursts of WAL. */
  batchMax?: number;
  /** What else of the context is kept for a time only. */
  records?: readonly ExpiringRecords[];
}

/** Rows of a context that are of no use after a time. */
export interface ExpiringRecords {
  name: string;
  retentionMs: number;
  /** Deletes what is older than `beforeMs`, oldest first, `batchMax` at most; gives how many it deleted. */
  deleteExpired(beforeMs: number, batchMax: number): Promise<number>;
}

const dayMs = 24 * 60 * 60 * 1000;

/**
 * Deletes what needs to be remembered no longer, oldest first: inbox rows, idempotency keys, and the
 * context's own `records`. Several instances may sweep at once. Counts `swept_rows_total{context, records}`.
 */
export function createSweeper(options: SweeperOptions): Loop {
  const { database, clock, log, metrics, batchMax = 1_000 } = options;
  const { inboxRetentionMs = inboxRetentionDefaultMs, idempotencyRetentionMs = dayMs } = options;
  const sql = database.primary;
  const all: ExpiringRecords[] = [
    { name: 'inbox', retentionMs: inboxRetentionMs, deleteExpired: sweepInbox },
    { name: 'idempotency', retentionMs: idempotencyRetentionMs, deleteExpired: sweepIdempotency },
    ...(options.records ?? []),
  ];

  return createLoop({
    name: `${database.schema}.sweeper`,
    clock,
    log,
    idleMs: options.sweepEveryMs ?? 60_000,
    async step() {
      let isMore = false;
      for (const { name, retentionMs, deleteExpired } of all) {
        const swept = await deleteExpired(clock.nowMs() - retentionMs, batchMax);
        if (swept === 0) continue;
        log.debug({ context: database.schema, records: name, swept }, 'swept old rows');
        metrics?.count('swept_rows_total', { context: database.schema, records: name }, swept);
        isMore ||= swept >= batchMax;
      }
      return isMore;
    },
  });

  /** Events that are old by their id; one that was sent on by hand and applied lately is remembered as long as any. */
  async function sweepInbox(beforeMs: number, rowsMax: number): Promise<number> {
    const deleted = await sql`
      delete from inbox where ctid = any(array(
        select ctid from inbox where event_id < ${firstIdAt(beforeMs)} and at_ms < ${beforeMs}
        order by event_id limit ${rowsMax}))`;
    return deleted.count;
  }

  async function sweepIdempotency(beforeMs: number, rowsMax: number): Promise<number> {
    const deleted = await sql`
      delete from idempotency where ctid = any(array(
        select ctid from idempotency where at_ms < ${beforeMs} order by at_ms limit ${rowsMax}))`;
    return deleted.count;
  }
}
