import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '@platform/log.ts';
import { removeOrphanedFolders, startPostgres } from '../servers/index.ts';
import { runSimCampaign, type SimCampaignResult } from './campaign.ts';
import { type OpenedDatabases, openLanes } from './databases.ts';
import type { SimArguments } from './options.ts';
import { simulate } from './simulate.ts';

const folderPrefix = 'uitgo-sim-';
const printError = (text: string) => void process.stderr.write(`${text}\n`);
const print = (text: string) => void process.stdout.write(`${text}\n`);

/** Runs one seed or a campaign. Resolves to the exit code: 0 no violations, 1 violations. */
export const runSimCommand = (args: SimArguments, signal: AbortSignal): Promise<number> =>
  withLanes(args.kind === 'one' ? 1 : args.lanes, signal, (lanes) =>
    args.kind === 'one' ? runOne(lanes, args) : runMany(lanes, args, signal),
  );

/** Starts one temporary PostgreSQL for the whole command, with a database for each lane. */
async function withLanes(
  count: number,
  signal: AbortSignal,
  work: (lanes: OpenedDatabases[]) => Promise<number>,
): Promise<number> {
  removeOrphanedFolders(tmpdir(), folderPrefix);
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  // PostgreSQL may run as another account, which must be able to open its data in this folder.
  chmodSync(dir, 0o755);
  try {
    const servers = await startPostgres({ dir, replica: false, ephemeral: true, signal, report: printError });
    try {
      const lanes = await openLanes(servers.primary.url, createLog('silent'), count);
      const close = () => Promise.all(lanes.map((lane) => lane.close()));
      return await work(lanes).finally(close);
    } finally {
      await servers.primary.stop();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function runOne(
  [databases]: OpenedDatabases[],
  { seed, faults, json }: Extract<SimArguments, { kind: 'one' }>,
): Promise<number> {
  if (databases === undefined) throw new Error('one seed needs one lane');
  const startedMs = performance.now();
  const run = await simulate({ seed, databases, ...(faults === undefined ? {} : { only: new Set(faults) }) });
  const printText = json ? printError : print;
  for (const line of run.trace) printText(line);
  printText(`\nseed ${seed}: ${run.faults.length} faults, ${run.steps} steps, trace ${run.traceHash}`);
  printText(run.violations.length === 0 ? 'no violations' : `violations:\n  ${run.violations.join('\n  ')}`);
  if (json) {
    const kinds: Record<string, number> = {};
    for (const { kind } of run.faults) kinds[kind] = (kinds[kind] ?? 0) + 1;
    const failures = run.violations.length === 0 ? [] : [{ seed, violations: run.violations }];
    const seedsPerMinute = Math.round(60_000 / (performance.now() - startedMs));
    print(JSON.stringify({ seeds: 1, failures, seedsPerMinute, faults: kinds, traceHash: run.traceHash }));
  }
  return run.violations.length === 0 ? 0 : 1;
}

const progressEverySeeds = 50;

async function runMany(
  lanes: OpenedDatabases[],
  { firstSeed, seeds, minutes, shrinks, json }: Extract<SimArguments, { kind: 'campaign' }>,
  signal: AbortSignal,
): Promise<number> {
  const startedMs = performance.now();
  const minutesPassed = () => (performance.now() - startedMs) / 60_000;
  let completed = 0;
  let failed = 0;
  const campaign = await runSimCampaign({
    lanes,
    firstSeed,
    seeds,
    shrinks,
    isOver: () => signal.aborted || minutesPassed() > minutes,
    onRun({ seed, violations }) {
      completed++;
      if (violations.length > 0) {
        failed++;
        const further = violations.length > 1 ? ` (and ${violations.length - 1} more)` : '';
        printError(`seed ${seed}: ${violations[0]}${further}`);
      }
      if (completed % progressEverySeeds === 0)
        printError(
          `${completed} seeds, ${failed} failed, ${Math.round(completed / minutesPassed())} a minute`,
        );
    },
  });
  const seedsPerMinute = Math.round((campaign.seeds / minutesPassed()) * 10) / 10;
  (json ? printError : print)(describeCampaign(campaign, seedsPerMinute));
  if (json) {
    const { failures, faults, trips, steps } = campaign;
    print(JSON.stringify({ seeds: campaign.seeds, failures, seedsPerMinute, faults, trips, steps }));
  }
  return campaign.failures.length === 0 ? 0 : 1;
}

function describeCampaign(
  { seeds, failures, faults, trips, steps }: SimCampaignResult,
  seedsPerMinute: number,
): string {
  const counts = Object.entries(faults).sort(([a], [b]) => (a < b ? -1 : 1));
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  return [
    `${seeds} seeds, ${trips} trips, ${steps} steps, ${total} faults of ${counts.length} kinds, ${seedsPerMinute} seeds a minute`,
    ...counts.map(([kind, count]) => `  ${kind.padEnd(20)} ${count}`),
    failures.length === 0 ? 'no violations' : `${failures.length} seeds failed:`,
    ...failures.flatMap(({ seed, violations, shrunk }) => [
      `  seed ${seed}: ${violations.join('\n    ')}`,
      ...(shrunk === undefined
        ? []
        : [`    again with: bun run sim --seed ${seed} --only "${shrunk.faults.join(',')}"`]),
    ]),
  ].join('\n');
}
