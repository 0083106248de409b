import { systemClock } from '@platform/clock.ts';
import type { Heal } from './kinds.ts';
import { linked, type Stand } from './stand.ts';

const replayTimeoutMs = 30_000;
const pollMs = 50;

/**
 * A failover as an operator does it: the primary is cut off, the replica replays all that the primary ever
 * wrote, the primary dies, the replica takes its place. (Replication is asynchronous: a primary that dies
 * before its replica has everything takes its last commits along. Who may not lose those sets
 * `synchronous_standby_names`.)
 */
export async function promote(stand: Stand): Promise<Heal> {
  for (const service of linked.postgres) stand.link(service, 'postgres').down();
  const replica = stand.replicaSql();
  await replayed(replica, await lastWritten(stand));
  await stand.server('postgres').kill('SIGKILL');
  return async () => {
    await replica`select pg_promote(true, 30)`;
    await replica.end();
    stand.failOver();
    for (const service of linked.postgres) stand.link(service, 'postgres').resume();
  };
}

type Sql = ReturnType<Stand['sql']>;

async function lastWritten(stand: Stand): Promise<string> {
  const primary = stand.sql();
  // What is under way on connections that are cut ends by itself; nothing is written after that.
  await primary`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'uit-go:%'`;
  await primary`checkpoint`;
  const [row] = await primary<{ lsn: string }[]>`select pg_current_wal_flush_lsn()::text as lsn`;
  await primary.end();
  return row?.lsn ?? '0/0';
}

async function replayed(replica: Sql, lsn: string): Promise<void> {
  const untilMs = systemClock.nowMs() + replayTimeoutMs;
  for (;;) {
    const [row] = await replica<
      { done: boolean }[]
    >`select pg_last_wal_replay_lsn() >= ${lsn}::pg_lsn as done`;
    if (row?.done) return;
    if (systemClock.nowMs() > untilMs) throw new Error(`the replica did not replay up to ${lsn}`);
    await systemClock.sleep(pollMs);
  }
}
