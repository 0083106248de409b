import { mkdirSync, rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { type Servers, startServers } from '../../src/cli/servers/index.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { Bench, BenchResult, Needs } from './bench.ts';

const root = join(import.meta.dir, '../..');

/** Every `bench/<name>.ts`, by name. */
export async function findBenches(): Promise<Bench[]> {
  const files = [...new Bun.Glob('*.ts').scanSync(join(root, 'bench'))].filter(
    (file) => !file.endsWith('.test.ts'),
  );
  const modules: unknown[] = await Promise.all(files.map((file) => import(join(root, 'bench', file))));
  return modules.map(benchOf).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function benchOf(module: unknown): Bench {
  const { bench } = module as { bench?: Bench };
  if (bench === undefined) throw new Error('a file of bench/ exports no `bench`');
  return bench;
}

export interface RunOptions {
  rounds: number;
  seconds: number;
  signal: AbortSignal;
  say(line: string): void;
}

export interface Report extends BenchResult {
  name: string;
  commit: string;
  date: string;
  cpus: number;
}

/** Runs one bench; whatever servers it started are stopped at its end and their data removed. */
export async function runBench(bench: Bench, options: RunOptions): Promise<Report> {
  const { rounds, seconds, signal, say } = options;
  // Not below /tmp, which may be memory: a commit must reach a disk.
  const dir = join(root, '.uitgo', 'bench', `servers-${process.pid}`);
  let servers: Servers | undefined;
  const start = async (needs: Needs): Promise<Servers> => {
    mkdirSync(dir, { recursive: true });
    servers = await startServers({
      dir,
      ...(needs.postgres ? { postgres: { replica: needs.replica ?? false } } : {}),
      redis: needs.redis ?? false,
      rabbitmq: needs.rabbitmq ?? false,
      ephemeral: false,
      signal,
      report: say,
    });
    return servers;
  };
  try {
    const result = await bench.run({ rounds, seconds, signal, say, startServers: start });
    return {
      name: bench.name,
      ...result,
      rounds: result.rounds ?? rounds,
      commit: commit(),
      date: new Date(systemClock.nowMs()).toISOString(),
      cpus: cpus().length,
    };
  } finally {
    await servers?.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** `+` behind it: with changes that are not committed. */
function commit(): string {
  const git = (...args: string[]) => {
    const ran = Bun.spawnSync(['git', ...args], { cwd: root, stdout: 'pipe', stderr: 'ignore' });
    return ran.success ? ran.stdout.toString().trim() : undefined;
  };
  const head = git('rev-parse', '--short', 'HEAD');
  if (head === undefined) return 'unknown';
  return git('status', '--porcelain', '--untracked-files=no') === '' ? head : `${head}+`;
}
