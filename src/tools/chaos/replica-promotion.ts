import { systemClock } from '@platform/clock.ts';
import type { HealFault } from './fault.ts';
import { servicesByServer, type TestBed } from './test-bed.ts';

const replayTimeoutMs = 30_000;
const pollMs = 50;

/**
 * A planned failover: the primary is disconnected, the replica replays everything that the primary wrote,
 * the primary is killed, and the replica is promoted. (Replication is asynchronous: when a primary dies
 * before its replica has everything, its last commits are lost. To prevent that, set
 * `synchronous_standby_names`.)
 */
export async function promoteReplica(testBed: TestBed): Promise<HealFault> {
  for (const service of servicesByServer.postgres)
    testBed.proxyBetween(service, 'postgres').refuseConnections();
  const replica = testBed.connectReplica();
  await waitForReplay(replica, await readLastLsn(testBed));
  await testBed.server('postgres').kill('SIGKILL');
  return async () => {
    await replica`select pg_promote(true, 30)`;
    await replica.end();
    testBed.failOver();
    for (const service of servicesByServer.postgres) testBed.proxyBetween(service, 'postgres').resume();
  };
}

type Sql = ReturnType<TestBed['connectPrimary']>;

async function readLastLsn(testBed: TestBed): Promise<string> {
  const primary = testBed.connectPrimary();
  // Statements in flight on closed connections end by themselves; nothing is written after that.
  await primary`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'uit-go:%'`;
  await primary`checkpoint`;
  const [row] = await primary<{ lsn: string }[]>`select pg_current_wal_flush_lsn()::text as lsn`;
  await primary.end();
  return row?.lsn ?? '0/0';
}

async function waitForReplay(replica: Sql, lsn: string): Promise<void> {
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
