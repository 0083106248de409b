import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { wrk } from './harness/programs.ts';
import { interleave } from './harness/rounds.ts';
import { roundToFourDigits } from './harness/statistics.ts';
import { runPaced } from './positions/paced-client.ts';
import { startBareServers, startSystem } from './positions/system.ts';
import { runWrk, writeTokens, wrkGenerator } from './positions/wrk.ts';

export const bench: Bench = {
  name: 'location-rest',
  describes: 'PUT of positions through the edge, stored in Redis before the 204, against a bare Bun.serve',
  programs: [wrk],
  figures: [
    { key: 'ratio', label: 'positions over REST ÷ a bare Bun.serve', unit: 'ratio', goal: { min: 0.62 } },
    { key: 'perSecond', label: 'positions over REST, stored', unit: '/s', goal: { min: 20000 } },
    { key: 'cpuMicrosPerOp', label: 'CPU of the processes per position', unit: 'µs' },
    { key: 'p95Ms', label: 'at 0.7 of the capacity, p95', unit: 'ms', goal: { max: 25 } },
  ],
  run,
};

const driverCount = 10_000;
const warmUpSeconds = 6;
/** Share of the measured capacity. */
const openLoopShare = 0.7;
const openLoopSecondsMin = 10;

async function run(options: BenchOptions): Promise<BenchResult> {
  const { reportProgress } = options;
  const servers = await options.startServers({ postgres: true, redis: true, rabbitmq: true });
  const system = await startSystem('location-rest', servers, driverCount, reportProgress);
  const bare = await startBareServers(system.dir, reportProgress);
  const redisPids = () => [servers.geoRedis, servers.cacheRedis].flatMap((server) => server?.pids() ?? []);
  try {
    const tokens = writeTokens(system.dir, system.drivers);
    reportProgress('warming up: every token and every driver once');
    await runWrk(system, tokens, warmUpSeconds, []);
    const shed = { refused: 0, requests: 0 };
    const result = await interleave(
      'positions by PUT',
      {
        async ours(seconds) {
          const run = await runWrk(system, tokens, seconds, redisPids());
          shed.refused += run.summary.refused;
          shed.requests += run.summary.requests;
          return run;
        },
        baseline: (seconds) => runWrk(bare, tokens, seconds, []),
      },
      options,
    );
    const openLoopPerSecond = Math.round(result.perSecond * openLoopShare);
    reportProgress(`open loop at ${openLoopPerSecond}/s`);
    const openLoop = await runPaced(
      system,
      tokens,
      openLoopPerSecond,
      Math.max(openLoopSecondsMin, options.seconds),
    );
    return {
      ...result,
      refusedShare: roundToFourDigits(shed.refused / shed.requests),
      openLoopPerSecond,
      p50Ms: roundToFourDigits(openLoop.p50Ms),
      p95Ms: roundToFourDigits(openLoop.p95Ms),
      p99Ms: roundToFourDigits(openLoop.p99Ms),
      openLoopRefusedShare: roundToFourDigits(openLoop.refused / openLoop.answered),
      openLoopBroken: openLoop.broken,
      generator: `${wrkGenerator}; latency: ${openLoop.connections} sockets, open loop`,
    };
  } finally {
    await bare.stop();
    await system.stop();
  }
}
