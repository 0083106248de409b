import type { Clock } from './clock.ts';
import { createLoop, type Loop } from './lifecycle.ts';
import type { Log } from './log.ts';
import type { Database } from './postgres/database.ts';

export interface SweeperOptions {
  database: Database;
  clock: Clock;
  log: Log;
  /** Longer than an event can still come again, dead letters sent on by hand included. */
  inboxRetentionMs?: number;
  /** How long a client may repeat a POST with its key. */
  idempotencyRetentionMs?: number;
  sweepEveryMs?: number;
  /** Rows deleted by one statement, at most: short locks, small bursts of WAL. */
  batchMax?: number;
}

const dayMs = 24 * 60 * 60 * 1000;

/** Deletes what the inbox and the idempotency keys need to remember no longer, oldest first. */
export function createSweeper(options: SweeperOptions): Loop {
  const { database, clock, log, batchMax = 1_000 } = options;
  const { inboxRetentionMs = 7 * dayMs, idempotencyRetentionMs = dayMs } = options;
  const sql = database.primary;

  return createLoop({
    name: `${database.schema}.sweeper`,
    clock,
    log,
    idleMs: options.sweepEveryMs ?? 60_000,
    async step() {
      const inbox = await sweep('inbox', inboxRetentionMs);
      const idempotency = await sweep('idempotency', idempotencyRetentionMs);
      if (inbox + idempotency > 0)
        log.debug({ context: database.schema, inbox, idempotency }, 'swept old rows');
      return inbox === batchMax || idempotency === batchMax;
    },
  });

  async function sweep(table: 'inbox' | 'idempotency', retentionMs: number): Promise<number> {
    const deleted = await sql`
      delete from ${sql(table)} where ctid = any(array(
        select ctid from ${sql(table)}
        where at_ms < ${clock.nowMs() - retentionMs}
        order by at_ms limit ${batchMax}))`;
    return deleted.count;
  }
}
