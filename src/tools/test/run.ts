import { handleInterrupts } from '../command/interruption.ts';
import { ServerError } from '../servers/index.ts';
import { readTestServerUrls, type TestServerUrls, testEnvironmentOf } from './environment.ts';
import { keepServers, useKeptServers } from './kept-servers.ts';
import { findServerNeeds } from './needs.ts';
import { startTestServers } from './servers.ts';
import { readTotals, type TestTotals } from './totals.ts';

/** Real servers respond in milliseconds, so a test that takes this long hangs. */
export const defaultTestTimeoutMs = 30_000;
const interruptedExitCode = 130;

export interface TestRunOptions {
  /** The arguments for `bun test`: paths and its own options. */
  args: readonly string[];
  /** Leaves the servers running for the next run. */
  keepsServers: boolean;
  /** Prints test output to stderr, since stdout is reserved for JSON. */
  json: boolean;
}

export interface TestRunResult {
  totals: TestTotals;
  exitCode: number;
}

/** Runs tests on the servers that their imports need; the other servers are not started. */
export async function runTestsOnServers(options: TestRunOptions): Promise<TestRunResult> {
  const interruption = handleInterrupts();
  const { signal } = interruption;
  const cwd = process.cwd();
  try {
    const needs = await findServerNeeds(options.args, cwd);
    const given = readTestServerUrls(process.env);
    const kept = options.keepsServers ? await keepServers(needs, cwd, signal) : useKeptServers(cwd);
    const servers = await startTestServers({
      needs,
      externalUrls: mergeUrls(kept, given),
      signal,
      report: (line) => console.error(line),
    });
    try {
      return await runTests(options, servers.urls, signal);
    } finally {
      await servers.stop();
    }
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    console.error(`\n${error.message}\n`);
    const wasInterrupted = error.code === 'server.interrupted';
    return {
      totals: { passed: 0, failed: 1, skipped: 0 },
      exitCode: wasInterrupted ? interruptedExitCode : 1,
    };
  } finally {
    interruption.restore();
  }
}

/** The servers that the user passes have precedence over kept ones. */
const mergeUrls = (kept: TestServerUrls, given: TestServerUrls): TestServerUrls => ({
  ...kept,
  ...Object.fromEntries(Object.entries(given).filter(([, url]) => url !== undefined)),
});

async function runTests(
  { args, json }: TestRunOptions,
  urls: TestServerUrls,
  signal: AbortSignal,
): Promise<TestRunResult> {
  const hasTimeout = args.some((argument) => argument.startsWith('--timeout'));
  const timeout = hasTimeout ? [] : [`--timeout=${defaultTestTimeoutMs}`];
  const child = Bun.spawn([process.execPath, 'test', '--no-orphans', ...timeout, ...args], {
    env: {
      ...process.env,
      ...testEnvironmentOf(urls),
      // The output is piped for counting, which would otherwise turn colours off.
      ...(process.stderr.isTTY ? { FORCE_COLOR: '1' } : {}),
    },
    stdin: 'ignore',
    stdout: json ? 2 : 'inherit',
    stderr: 'pipe',
    detached: true,
  });
  const interrupt = () => child.kill('SIGTERM');
  signal.addEventListener('abort', interrupt);
  const totals = await readTotals(child.stderr, (bytes) => process.stderr.write(bytes));
  const testExitCode = await child.exited;
  signal.removeEventListener('abort', interrupt);

  if (signal.aborted) {
    return { totals: { ...totals, failed: Math.max(totals.failed, 1) }, exitCode: interruptedExitCode };
  }
  if (totals.skipped > 0) console.error(`${totals.skipped} skipped: a skipped test counts as failed`);
  const failed = Math.max(totals.failed + totals.skipped, testExitCode === 0 ? 0 : 1);
  return {
    totals: { ...totals, failed },
    exitCode: testExitCode === 0 && failed > 0 ? 1 : testExitCode,
  };
}
