import { mkdirSync, rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/platform/clock.ts';
import { installPrograms, type Servers, startServers } from '../../src/tools/servers/index.ts';
import type { Bench, BenchResult, ServerNeeds } from './bench.ts';

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
  if (bench === undefined) throw new Error('a file in bench/ does not export `bench`');
  return bench;
}

export interface RunOptions {
  rounds: number;
  seconds: number;
  signal: AbortSignal;
  reportProgress(line: string): void;
  /** Whether missing programs may be installed; detected from the machine by default. */
  mayInstall?: () => boolean;
}

interface Run {
  name: string;
  commit: string;
  date: string;
  cpus: number;
}

export type Report = Run & BenchResult;

/** The report of a bench that failed: the error, and the results of its parts until then. */
export interface FailedReport extends Run {
  failed: string;
  kept: Record<string, BenchResult>;
}

/**
 * Runs one bench. The servers that it started are stopped at its end and their data is removed. Throws only when
 * there is no result yet.
 */
export async function runBench(bench: Bench, options: RunOptions): Promise<Report | FailedReport> {
  const { rounds, seconds, signal, reportProgress } = options;
  await installPrograms(bench.programs ?? [], reportProgress, options.mayInstall);
  // Not in /tmp, which may be in memory: a commit must reach a disk.
  const dir = join(root, '.uitgo', 'bench', `servers-${process.pid}`);
  let servers: Servers | undefined;
  const start = async (needs: ServerNeeds): Promise<Servers> => {
    mkdirSync(dir, { recursive: true });
    servers = await startServers({
      dir,
      ...(needs.postgres ? { postgres: { replica: needs.replica ?? false } } : {}),
      redis: needs.redis ?? false,
      rabbitmq: needs.rabbitmq ?? false,
      ephemeral: false,
      signal,
      report: reportProgress,
    });
    return servers;
  };
  const kept: Record<string, BenchResult> = {};
  const savePart = (part: string, result: BenchResult) => {
    kept[part] = result;
  };
  try {
    const result = await bench.run({
      rounds,
      seconds,
      signal,
      reportProgress,
      savePart,
      startServers: start,
    });
    return { ...runOf(bench), ...result, rounds: result.rounds ?? rounds };
  } catch (error) {
    if (Object.keys(kept).length === 0) throw error;
    return { ...runOf(bench), failed: error instanceof Error ? error.message : String(error), kept };
  } finally {
    await servers?.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const runOf = ({ name }: Bench): Run => ({
  name,
  commit: commit(),
  date: new Date(systemClock.nowMs()).toISOString(),
  cpus: cpus().length,
});

/** The short hash of the commit, with a `+` when there are uncommitted changes. */
function commit(): string {
  const git = (...args: string[]) => {
    const ran = Bun.spawnSync(['git', ...args], { cwd: root, stdout: 'pipe', stderr: 'ignore' });
    return ran.success ? ran.stdout.toString().trim() : undefined;
  };
  const head = git('rev-parse', '--short', 'HEAD');
  if (head === undefined) return 'unknown';
  return git('status', '--porcelain', '--untracked-files=no') === '' ? head : `${head}+`;
}
