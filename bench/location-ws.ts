import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { interleave, type Measure } from './harness/rounds.ts';
import { type CodeCounts, type Senders, startSenders, sumCodeCounts } from './positions/senders.ts';
import { startBareServers, startSystem } from './positions/system.ts';

export const bench: Bench = {
  name: 'location-ws',
  describes:
    'positions in WebSocket frames, counted once stored in Redis, against a Bun socket that only parses them',
  figures: [
    {
      key: 'ratio',
      label: 'positions in frames of ten ÷ a bare Bun socket',
      unit: 'ratio',
      goal: { min: 0.6 },
    },
    { key: 'perSecond', label: 'positions in frames of ten, stored', unit: '/s', goal: { min: 100000 } },
    {
      key: 'singleRatio',
      label: 'positions in frames of one ÷ a bare Bun socket',
      unit: 'ratio',
      goal: { min: 0.6 },
    },
  ],
  run,
};

const driverCount = 2_000;
const pointsPerFrame = 10;
const generator = 'Bun WebSocket clients, one process for each server process, closed loop';

async function run(options: BenchOptions): Promise<BenchResult> {
  const { reportProgress } = options;
  const servers = await options.startServers({ postgres: true, redis: true, rabbitmq: true });
  const system = await startSystem('location-ws', servers, driverCount, reportProgress, { ports: 'own' });
  const bare = await startBareServers(system.dir, reportProgress, 'own');
  const redisPids = () => servers.geoRedis?.pids() ?? [];
  const started: Senders[] = [];
  try {
    reportProgress(`${driverCount} live connections to each side`);
    const tokens = system.drivers.map(({ token }) => token);
    const [ours, baseline] = [
      await startSenders(system, tokens, true),
      await startSenders(bare, tokens, false),
    ];
    started.push(ours, baseline);
    let errors: CodeCounts = {};
    const sides = (points: number): Record<'ours' | 'baseline', Measure> => ({
      async ours(seconds) {
        const measurement = await ours.run(seconds, points, redisPids());
        errors = sumCodeCounts([errors, measurement.errors]);
        return measurement;
      },
      baseline: (seconds) => baseline.run(seconds, points, []),
    });
    reportProgress(`frames of ${pointsPerFrame} points`);
    const batches = await interleave('batches', sides(pointsPerFrame), options);
    reportProgress('frames of one point');
    const singles = await interleave('single points', sides(1), options);
    return {
      ...batches,
      pointsPerFrame,
      singlePerSecond: singles.perSecond,
      singleBaselinePerSecond: singles.baselinePerSecond,
      singleRatio: singles.ratio,
      singleCpuMicrosPerOp: singles.cpuMicrosPerOp,
      singleServerCpuMicrosPerOp: singles.serverCpuMicrosPerOp,
      errorFrames: errors,
      connections: driverCount,
      generator,
    };
  } finally {
    for (const senders of started) senders.stop();
    await bare.stop();
    await system.stop();
  }
}
