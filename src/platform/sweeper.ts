import type { Clock } from './clock.ts';
import { firstIdAt } from './ids.ts';
import { createLoop, type Loop } from './lifecycle.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Database } from './postgres/database.ts';
import { inboxRetentionDefaultMs } from './postgres/inbox.ts';

export interface SweeperDeps {
  database: Database;
  clock: Clock;
  log: Log;
  metrics?: Metrics;
  /** Must be longer than an event can be redelivered, including dead letters that an operator redrives. */
  inboxRetentionMs?: number;
  /** How long a client may repeat a POST with its idempotency key. */
  idempotencyRetentionMs?: number;
  sweepEveryMs?: number;
  /** The most rows that one statement deletes: this keeps locks short and bursts of WAL small. */
  batchMax?: number;
  /** Further rows of the context that expire. */
  records?: readonly ExpiringRecords[];
}

/** Rows of a context that are deleted after `retentionMs`. */
export interface ExpiringRecords {
  name: string;
  retentionMs: number;
  /** Deletes at most `batchMax` rows that are older than `beforeMs`, oldest first; returns how many it deleted. */
  deleteExpired(beforeMs: number, batchMax: number): Promise<number>;
}

const dayMs = 24 * 60 * 60 * 1000;

/**
 * Deletes expired rows, oldest first: inbox rows, idempotency keys, and the context's own `records`.
 * Several instances may sweep at the same time. Counts `swept_rows_total{context, records}`.
 */
export function createSweeper(deps: SweeperDeps): Loop {
  const { database, clock, log, metrics, batchMax = 1_000 } = deps;
  const { inboxRetentionMs = inboxRetentionDefaultMs, idempotencyRetentionMs = dayMs } = deps;
  const sql = database.primary;
  const expiring: ExpiringRecords[] = [
    { name: 'inbox', retentionMs: inboxRetentionMs, deleteExpired: deleteInboxRows },
    { name: 'idempotency', retentionMs: idempotencyRetentionMs, deleteExpired: deleteIdempotencyKeys },
    ...(deps.records ?? []),
  ];

  return createLoop({
    name: `${database.schema}.sweeper`,
    clock,
    log,
    idleMs: deps.sweepEveryMs ?? 60_000,
    async step() {
      let hasMore = false;
      for (const { name, retentionMs, deleteExpired } of expiring) {
        const deleted = await deleteExpired(clock.nowMs() - retentionMs, batchMax);
        if (deleted === 0) continue;
        log.debug({ context: database.schema, records: name, deleted }, 'deleted expired rows');
        metrics?.count('swept_rows_total', { context: database.schema, records: name }, deleted);
        hasMore ||= deleted >= batchMax;
      }
      return hasMore;
    },
  });

  /** Deletes rows of old events. An old event that was redriven and applied recently is kept for the full time. */
  async function deleteInboxRows(beforeMs: number, rowsMax: number): Promise<number> {
    const deleted = await sql`
      delete from inbox where ctid = any(array(
        select ctid from inbox where event_id < ${firstIdAt(beforeMs)} and at_ms < ${beforeMs}
        order by event_id limit ${rowsMax}))`;
    return deleted.count;
  }

  async function deleteIdempotencyKeys(beforeMs: number, rowsMax: number): Promise<number> {
    const deleted = await sql`
      delete from idempotency where ctid = any(array(
        select ctid from idempotency where at_ms < ${beforeMs} order by at_ms limit ${rowsMax}))`;
    return deleted.count;
  }
}
