import { testServerVariables } from '../tools/test/environment.ts';
import { stopKeeper } from '../tools/test/kept-servers.ts';
import { defaultTestTimeoutMs, runTestsOnServers } from '../tools/test/run.ts';
import { formatTotals } from '../tools/test/totals.ts';

const help = `bun run test [path …] [options]

Runs the tests on real servers, which it starts and stops: PostgreSQL with a streaming
replica, two Redis, RabbitMQ. A path selects tests (bun run test modules/trip), and only
the servers that these tests need are started.

  --keep          leave the servers running for the next run; they stop after 30 minutes
                  without a run
  --stop          stop the servers of an earlier run with --keep, and run no test
  --json          end with one JSON object {passed, failed, skipped, seconds, exitCode}
  --timeout=MS    for one test (default ${defaultTestTimeoutMs})
  --help          show this help
Any other option is passed to \`bun test\`: -t NAME, --bail, --rerun-each=N, --coverage …

A skipped test counts as failed. External servers are used instead where these variables
are set: ${Object.values(testServerVariables).join(',\n')}.
`;

const ownOptions = new Set(['--keep', '--json']);

/** `bun run test`. Resolves to the exit code, which is 0 only if every test passed. */
export async function run(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(help);
    return 0;
  }
  if (args.includes('--stop')) {
    const wasRunning = await stopKeeper(process.cwd());
    console.error(wasRunning ? 'the test servers are stopped' : 'no test servers are running');
    return 0;
  }
  const startedAt = performance.now();
  const json = args.includes('--json');
  const { totals, exitCode } = await runTestsOnServers({
    args: args.filter((argument) => !ownOptions.has(argument)),
    keepsServers: args.includes('--keep'),
    json,
  });
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  console.log(json ? JSON.stringify({ ...totals, seconds, exitCode }) : formatTotals(totals));
  return exitCode;
}
