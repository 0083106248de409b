import { createBaseline, type FlowLimits } from './events/baseline.ts';
import { createPipeline } from './events/pipeline.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { openLoopBenchResult, runOpenLoopPart } from './harness/open-loop.ts';
import { interleave, measure } from './harness/rounds.ts';

export const bench: Bench = {
  name: 'events',
  describes: 'commit, outbox, quorum queue, inbox and effect, against bare amqplib with the same durability',
  figures: [
    {
      key: 'ratio',
      label: 'events ÷ bare amqplib with the same durability',
      unit: 'ratio',
      goal: { min: 0.7 },
    },
    { key: 'perSecond', label: 'events from commit to effect', unit: '/s' },
    { key: 'p95Ms', label: 'commit to effect at half load, p95', unit: 'ms', goal: { max: 50 } },
  ],
  run,
};

const flowLimits: FlowLimits = { inFlightMax: 4_096, unconfirmedMax: 1_024, prefetch: 200 };

const queueArguments = {
  'x-queue-type': 'quorum',
  'x-dead-letter-exchange': '',
  'x-dead-letter-routing-key': 'bench.bare.dlq',
  'x-dead-letter-strategy': 'at-least-once',
  'x-overflow': 'reject-publish',
  'x-delivery-limit': 20,
  'x-max-length': 1_000_000,
  'x-max-length-bytes': 1024 ** 3,
};

async function run(options: BenchOptions): Promise<BenchResult> {
  const servers = await options.startServers({ postgres: true, rabbitmq: true });
  const pipeline = await createPipeline(servers, flowLimits);
  const baseline = await createBaseline(servers.rabbitmq?.url ?? '', queueArguments, flowLimits);
  const pids = () => servers.all().flatMap((server) => server.pids());
  try {
    const result = await interleave(
      'commit to effect',
      {
        ours: (seconds) => measure(() => pipeline.run(seconds), pids),
        baseline: (seconds) => measure(() => baseline.run(seconds), pids),
      },
      options,
    );
    const openLoop = await runOpenLoopPart(options, 'commit to effect at half capacity', {
      perSecond: result.perSecond / 2,
      seconds: Math.max(10, options.seconds),
      operate: pipeline.publishEvent,
    });
    const { rows, events } = await pipeline.countEffects();
    return {
      ...result,
      ...openLoopBenchResult(openLoop),
      effects: rows,
      appliedTwice: rows - events,
    };
  } finally {
    await pipeline.close();
    await baseline.close();
  }
}
