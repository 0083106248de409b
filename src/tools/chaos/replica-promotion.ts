import { systemClock } from '@platform/clock.ts';
import type { HealFault } from './fault-kinds.ts';
import { servicesByServer, type TestBed } from './test-bed.ts';

const replayTimeoutMs = 30_000;
const pollMs = 50;

/**
 * A failover as an operator does it: the primary is cut off, the replica replays all that the primary ever
 * wrote, the primary dies, the replica takes its place. (Replication is asynchronous: a primary that dies
 * before its replica has everything takes its last commits along. Who may not lose those sets
 * `synchronous_standby_names`.)
 */
export async function promoteReplica(stand: TestBed): Promise<HealFault> {
  for (const service of servicesByServer.postgres)
    stand.proxyBetween(service, 'postgres').refuseConnections();
  const replica = stand.connectReplica();
  await replayed(replica, await lastWritten(stand));
  await stand.server('postgres').kill('SIGKILL');
  return async () => {
    await replica`select pg_promote(true, 30)`;
    await replica.end();
    stand.failOver();
    for (const service of servicesByServer.postgres) stand.proxyBetween(service, 'postgres').resume();
  };
}

type Sql = ReturnType<TestBed['connectPrimary']>;

async function lastWritten(stand: TestBed): Promise<string> {
  const primary = stand.connectPrimary();
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
