import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '@platform/log.ts';
import { handleInterrupts, type Interruption } from '../tools/command/interruption.ts';
import { runCommand } from '../tools/command/options.ts';
import { removeOrphanedFolders, startPostgres } from '../tools/servers/index.ts';
import { runSimCampaign, type SimCampaignResult } from '../tools/sim/campaign.ts';
import { type OpenedDatabases, openLanes } from '../tools/sim/databases.ts';
import { parseArguments, type SimArguments, usage } from '../tools/sim/options.ts';
import { simulate } from '../tools/sim/simulate.ts';

const folderPrefix = 'uitgo-sim-';
const say = (text: string) => void process.stderr.write(`${text}\n`);
const print = (text: string) => void process.stdout.write(`${text}\n`);

/** `bun run sim`. Resolves to the exit code: 0 nothing violated, 1 something was, 2 wrong usage. */
export const run = (args: string[]): Promise<number> =>
  runCommand('sim', usage, parseArguments(args), (asked) =>
    onLanes(asked.kind === 'one' ? 1 : asked.lanes, (lanes, interruption) =>
      asked.kind === 'one' ? runOne(lanes, asked) : runMany(lanes, asked, interruption),
    ),
  );

/** One throwaway PostgreSQL for the whole command. */
async function onLanes(
  count: number,
  work: (lanes: OpenedDatabases[], interruption: Interruption) => Promise<number>,
): Promise<number> {
  removeOrphanedFolders(tmpdir(), folderPrefix);
  const interruption = handleInterrupts();
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  // PostgreSQL may run as another account, which must get to its data in there.
  chmodSync(dir, 0o755);
  const { signal } = interruption;
  try {
    const servers = await startPostgres({ dir, replica: false, ephemeral: true, signal, report: say });
    try {
      const lanes = await openLanes(servers.primary.url, createLog('silent'), count);
      const close = () => Promise.all(lanes.map((lane) => lane.close()));
      return await work(lanes, interruption).finally(close);
    } finally {
      await servers.primary.stop();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
    interruption.restore();
  }
}

async function runOne(
  [databases]: OpenedDatabases[],
  { seed, faults, json }: Extract<SimArguments, { kind: 'one' }>,
): Promise<number> {
  if (databases === undefined) throw new Error('one seed needs one lane');
  const began = performance.now();
  const run = await simulate({ seed, databases, ...(faults === undefined ? {} : { only: new Set(faults) }) });
  const tell = json ? say : print;
  for (const line of run.trace) tell(line);
  tell(`\nseed ${seed}: ${run.faults.length} faults, ${run.steps} steps, trace ${run.traceHash}`);
  tell(run.violations.length === 0 ? 'nothing was violated' : `violated:\n  ${run.violations.join('\n  ')}`);
  if (json) {
    const kinds: Record<string, number> = {};
    for (const { kind } of run.faults) kinds[kind] = (kinds[kind] ?? 0) + 1;
    const failures = run.violations.length === 0 ? [] : [{ seed, violations: run.violations }];
    const seedsPerMinute = Math.round(60_000 / (performance.now() - began));
    print(JSON.stringify({ seeds: 1, failures, seedsPerMinute, faults: kinds, traceHash: run.traceHash }));
  }
  return run.violations.length === 0 ? 0 : 1;
}

const progressEvery = 50;

async function runMany(
  lanes: OpenedDatabases[],
  { firstSeed, seeds, minutes, shrinks, json }: Extract<SimArguments, { kind: 'campaign' }>,
  { signal }: Interruption,
): Promise<number> {
  const began = performance.now();
  const minutesPassed = () => (performance.now() - began) / 60_000;
  let ran = 0;
  let failed = 0;
  const campaign = await runSimCampaign({
    lanes,
    firstSeed,
    seeds,
    shrinks,
    isOver: () => signal.aborted || minutesPassed() > minutes,
    onRun({ seed, violations }) {
      ran++;
      if (violations.length > 0) {
        failed++;
        say(
          `seed ${seed}: ${violations[0]}${violations.length > 1 ? ` (and ${violations.length - 1} more)` : ''}`,
        );
      }
      if (ran % progressEvery === 0)
        say(`${ran} seeds, ${failed} failed, ${Math.round(ran / minutesPassed())} a minute`);
    },
  });
  const seedsPerMinute = Math.round((campaign.seeds / minutesPassed()) * 10) / 10;
  (json ? say : print)(describe(campaign, seedsPerMinute));
  if (json) {
    const { failures, faults, trips, steps } = campaign;
    print(JSON.stringify({ seeds: campaign.seeds, failures, seedsPerMinute, faults, trips, steps }));
  }
  return campaign.failures.length === 0 ? 0 : 1;
}

function describe(
  { seeds, failures, faults, trips, steps }: SimCampaignResult,
  seedsPerMinute: number,
): string {
  const struck = Object.entries(faults).sort(([a], [b]) => (a < b ? -1 : 1));
  const total = struck.reduce((sum, [, times]) => sum + times, 0);
  return [
    `${seeds} seeds, ${trips} trips, ${steps} steps, ${total} faults of ${struck.length} kinds, ${seedsPerMinute} seeds a minute`,
    ...struck.map(([kind, times]) => `  ${kind.padEnd(20)} ${times}`),
    failures.length === 0 ? 'nothing was violated' : `${failures.length} seeds failed:`,
    ...failures.flatMap(({ seed, violations, shrunk }) => [
      `  seed ${seed}: ${violations.join('\n    ')}`,
      ...(shrunk === undefined
        ? []
        : [`    again with: bun run sim --seed ${seed} --only "${shrunk.faults.join(',')}"`]),
    ]),
  ].join('\n');
}
