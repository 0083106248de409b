import { join } from 'node:path';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { roundToFourDigits } from './harness/statistics.ts';
import type { LoadOptions, LoadPhase, LoadResult, RequestKind } from './overload/load.ts';
import { createRequestMix } from './overload/mix.ts';
import { startSystem } from './positions/system.ts';

export const bench: Bench = {
  name: 'overload',
  describes:
    'three times the capacity of one process for a minute: what is served, how fast, and the time afterwards',
  figures: [
    {
      key: 'firstPriorityInTime',
      label: 'first priority answered in time at 3 × capacity',
      unit: 'share',
      goal: { min: 0.99 },
    },
    { key: 'p99Ms', label: 'admitted requests at 3 × capacity, p99', unit: 'ms', goal: { max: 250 } },
    {
      key: 'recoverySeconds',
      label: 'until nothing is shed or slow at half load',
      unit: 's',
      goal: { max: 5 },
    },
  ],
  run,
};

const driverCount = 5_000;
const deadlineMs = 1_000;
const connections = 1_000;
const closedLoopConnections = 64;
const overloadPerRound = 12;
const overloadFactor = 3;

// Rate limits per person are raised because they are not part of the measurement; their checks still run.
const env = {
  LIMIT_POSITION_PER_MINUTE: '1000000',
  LIMIT_READ_PER_MINUTE: '1000000',
  LIMIT_WRITE_PER_MINUTE: '1000000',
};

async function run(options: BenchOptions): Promise<BenchResult> {
  const { seconds, reportProgress, signal } = options;
  const servers = await options.startServers({ postgres: true, redis: true, rabbitmq: true });
  const system = await startSystem('overload', servers, driverCount, reportProgress, { count: 1, env });
  try {
    const kinds = await createRequestMix(system, servers);
    const port = Number(new URL(system.url).port);
    const runPhase = async (name: string, phase: LoadPhase, open = connections): Promise<LoadResult> => {
      signal.throwIfAborted();
      reportProgress(
        `${name}: ${phase.perSecond === 0 ? 'closed loop' : `${Math.round(phase.perSecond)}/s`}, ${phase.seconds} s`,
      );
      const result = await runLoadProcess({ port, connections: open, kinds, phase, deadlineMs });
      printResult(result, reportProgress);
      return result;
    };
    await runPhase('warming up', { perSecond: 0, seconds }, closedLoopConnections);
    const capacity = await runPhase('capacity', { perSecond: 0, seconds }, closedLoopConnections);
    const perSecond = capacity.all.served / capacity.seconds;
    const half = await runPhase('half capacity', { perSecond: perSecond / 2, seconds });
    const overload = await runPhase('three times capacity', {
      perSecond: perSecond * overloadFactor,
      seconds: seconds * overloadPerRound,
    });
    const afterwards = await runPhase('half capacity again', {
      perSecond: perSecond / 2,
      seconds: Math.max(10, seconds),
    });
    const { all, byPriority } = overload;
    return {
      perSecond: roundToFourDigits(perSecond),
      offeredPerSecond: roundToFourDigits(all.sent / overload.seconds),
      servedPerSecond: roundToFourDigits(all.served / overload.seconds),
      goodputRatio: roundToFourDigits(all.served / overload.seconds / perSecond),
      p50Ms: all.p50Ms,
      p95Ms: all.p95Ms,
      p99Ms: all.p99Ms,
      firstPriorityInTime: roundToFourDigits(byPriority[1].inTime / byPriority[1].sent),
      servedShares: Object.values(byPriority).map(({ served, sent }) => roundToFourDigits(served / sent)),
      firstPriorityP99Ms: byPriority[1].p99Ms,
      neitherServedNorShed: all.other,
      calmP99Ms: half.all.p99Ms,
      recoverySeconds: roundToFourDigits(afterwards.lastTroubleSeconds),
      overloadSeconds: roundToFourDigits(overload.seconds),
      deadlineMs,
      generator: `own open loop over ${connections} connections, from a process of its own`,
      rounds: 1,
    };
  } finally {
    await system.stop();
  }
}

function printResult(
  { all, byPriority, otherStatuses, seconds }: LoadResult,
  report: BenchOptions['reportProgress'],
): void {
  const shares = Object.entries(byPriority).map(
    ([priority, { served, sent }]) => `${priority}: ${Math.round((100 * served) / Math.max(1, sent))}%`,
  );
  report(
    `  ${Math.round(all.sent / seconds)}/s sent, ${Math.round(all.served / seconds)}/s served (${shares.join(', ')}), ` +
      `${all.other} neither served nor shed ${JSON.stringify(otherStatuses)}, p50 ${all.p50Ms} ms, p99 ${all.p99Ms} ms`,
  );
}

/** Runs the load in a process of its own, so that the bench and the measured process do not slow each other down. */
async function runLoadProcess(options: LoadOptions & { kinds: RequestKind[] }): Promise<LoadResult> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'overload/load.ts')], {
    stdin: Buffer.from(JSON.stringify(options)),
    stdout: 'pipe',
    stderr: 'inherit',
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error('the load generator failed');
  return JSON.parse(text) as LoadResult;
}
