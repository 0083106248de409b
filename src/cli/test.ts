import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { handleInterrupts } from '../tools/command/interruption.ts';
import { removeOrphanedFolders, ServerError, type Servers, startServers } from '../tools/servers/index.ts';
import { testEnvironmentOf, testServerVariables } from '../tools/test/environment.ts';
import { formatTotals, readTotals, type TestTotals } from '../tools/test/totals.ts';

/** Real servers answer in milliseconds; a test that takes this long hangs. */
const defaultTestTimeoutMs = 30_000;
const folderPrefix = 'uitgo-test-';
const interruptedExitCode = 130;

const help = `bun run test [path …] [options]

Runs the tests on real servers, which it starts and stops: PostgreSQL with a
streaming replica, two Redis, RabbitMQ. A path narrows: bun run test modules/trip

  --json          end with one JSON object {passed, failed, skipped, seconds, exitCode}
  --timeout=MS    for one test (default ${defaultTestTimeoutMs})
  --help          this text
Any other option goes to \`bun test\`: -t NAME, --bail, --rerun-each=N, --coverage …

A skipped test counts as failed. Servers of your own are used instead where these
are set: ${Object.values(testServerVariables).join(',\n')}.
`;

/** The \`bun run test\` command. Resolves with the exit code; 0 only if every test passed. */
export const run = async (args: readonly string[]): Promise<number> => {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(help);
    return 0;
  }
  const began = performance.now();
  const { totals, exitCode } = await runOnServers(args);
  const seconds = Math.round((performance.now() - began) / 100) / 10;
  const json = args.includes('--json');
  console.log(json ? JSON.stringify({ ...totals, seconds, exitCode }) : formatTotals(totals));
  return exitCode;
};

type Outcome = { readonly totals: TestTotals; readonly exitCode: number };

const runOnServers = async (args: readonly string[]): Promise<Outcome> => {
  removeOrphanedFolders(tmpdir(), folderPrefix);
  const interruption = handleInterrupts();
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  // PostgreSQL may run as another account (see account.ts), which must get to its data in there.
  chmodSync(dir, 0o755);
  let servers: Servers | undefined;
  try {
    servers = await startTestServers(dir, interruption.signal);
    return await runTests(args, servers, interruption.signal);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    console.error(`\n${error.message}\n`);
    const interrupted = error.code === 'server.interrupted';
    return {
      totals: { passed: 0, failed: 1, skipped: 0 },
      exitCode: interrupted ? interruptedExitCode : 1,
    };
  } finally {
    await servers?.stop();
    rmSync(dir, { recursive: true, force: true });
    interruption.restore();
  }
};

const startTestServers = (dir: string, signal: AbortSignal): Promise<Servers> =>
  startServers({
    dir,
    postgres: { replica: true },
    redis: true,
    rabbitmq: true,
    ephemeral: true,
    externalUrls: {
      postgres: process.env[testServerVariables.postgres],
      postgresReplica: process.env[testServerVariables.postgresReplica],
      geoRedis: process.env[testServerVariables.geoRedis],
      cacheRedis: process.env[testServerVariables.cacheRedis],
      amqp: process.env[testServerVariables.amqp],
    },
    signal,
    report: (line) => console.error(line),
  });

const runTests = async (args: readonly string[], servers: Servers, signal: AbortSignal): Promise<Outcome> => {
  const passedOn = args.filter((argument) => argument !== '--json');
  const hasTimeout = args.some((argument) => argument.startsWith('--timeout'));
  const timeout = hasTimeout ? [] : [`--timeout=${defaultTestTimeoutMs}`];
  const child = Bun.spawn([process.execPath, 'test', '--no-orphans', ...timeout, ...passedOn], {
    env: {
      ...process.env,
      ...testEnvironmentOf(servers),
      // Its output passes through us to be counted; colours as if it did not.
      ...(process.stderr.isTTY ? { FORCE_COLOR: '1' } : {}),
    },
    stdin: 'ignore',
    stdout: args.includes('--json') ? 2 : 'inherit',
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
};
