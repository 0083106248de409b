import { encodeFrameBody, encodeTopicFrame } from '../modules/notification/live/frames.ts';
import { operatorViewOf } from '../modules/notification/recipients.ts';
import { createRabbitBus } from '../src/platform/bus/rabbit.ts';
import { systemClock } from '../src/platform/clock.ts';
import { createLog } from '../src/platform/log.ts';
import { createMetrics } from '../src/platform/metrics.ts';
import { systemRandom } from '../src/platform/random.ts';
import type { Servers } from '../src/tools/servers/index.ts';
import { sampleEvent } from './events/sample.ts';
import { createFanoutSide, type FanoutSide } from './fanout/fanout-side.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { interleave } from './harness/rounds.ts';
import type { BareRequest } from './realtime/bare.ts';
import { type Child, startChild } from './realtime/child.ts';
import { createTicketIssuer, namespace, socketAddressOf, startInstance } from './realtime/service.ts';

export const bench: Bench = {
  name: 'fanout',
  describes:
    "one bus event delivered to 5,000 subscribed sockets, against Bun's own publish and the ws package",
  figures: [
    { key: 'ratio', label: "deliveries ÷ Bun's own publish", unit: 'ratio', goal: { min: 0.7 } },
    { key: 'ratioWs', label: 'deliveries ÷ the ws package', unit: 'ratio', goal: { min: 3 } },
    { key: 'perSecond', label: 'deliveries of one event to 5,000 sockets', unit: '/s' },
  ],
  run,
};

type Stop = () => Promise<unknown>;

async function run(options: BenchOptions): Promise<BenchResult> {
  const servers = await options.startServers({ redis: true, rabbitmq: true });
  const stops: Stop[] = [];
  try {
    const ours = await startOurs(servers, stops);
    const bare = await startBaseline([process.execPath, `${import.meta.dir}/realtime/bare.ts`], stops);
    const ws = await startBaseline(['node', `${import.meta.dir}/fanout/ws.mjs`], stops);
    const againstBare = await interleave('against bare Bun', { ours: ours.run, baseline: bare.run }, options);
    options.reportProgress('against the ws package on Node');
    const againstWs = await interleave('against ws', { ours: ours.run, baseline: ws.run }, options);
    return {
      ...againstBare,
      ratioWs: againstWs.ratio,
      wsPerSecond: againstWs.baselinePerSecond,
      wsCpuMicrosPerOp: againstWs.baselineCpuMicrosPerOp,
      ratioWsRange: againstWs.ratioRange,
      frameBytes: frameOf(sampleEvent()).length,
    };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

const frameOf = (event: ReturnType<typeof sampleEvent>): string => {
  const view = operatorViewOf(event);
  return view === undefined ? '' : encodeTopicFrame('trips', encodeFrameBody({ id: event.id, ...view }));
};

/** The service as it is deployed: an event goes from RabbitMQ through its consumer and Redis to the subscribers. */
async function startOurs(servers: Servers, stops: Stop[]): Promise<FanoutSide> {
  const log = createLog('error');
  const bus = createRabbitBus({
    url: servers.rabbitmq?.url ?? '',
    namespace,
    clock: systemClock,
    random: systemRandom,
    log,
    metrics: createMetrics(),
  });
  stops.push(() => bus.close());
  const instance = await startInstance(servers, '127.0.0.1');
  stops.push(instance.stop);
  const tickets = await createTicketIssuer(servers);
  let failure: unknown;
  const side = await createFanoutSide({
    target: socketAddressOf(instance),
    issuePaths: (count) => tickets.issuePaths(count, 'ops'),
    firstMessage: '{"type":"subscribe","topic":"trips"}',
    // The welcome frame and the confirmation of the subscription.
    greetingFrames: 2,
    publish() {
      if (failure !== undefined) throw failure;
      bus.publish([sampleEvent()]).catch((error: unknown) => {
        failure = error;
      });
    },
    pid: instance.pid,
    serverPids: () => servers.all().flatMap((server) => server.pids()),
  });
  stops.push(side.stop, async () => tickets.close());
  return side;
}

/** A server that only sends: it receives the complete text of the same frame. */
async function startBaseline(command: string[], stops: Stop[]): Promise<FanoutSide> {
  const child: Child<BareRequest, { url: string } | number> & { ready: { url: string } | number } =
    await startChild({ command });
  stops.push(child.stop);
  if (typeof child.ready === 'number') throw new Error('the child reported no address');
  const { hostname, port } = new URL(child.ready.url);
  const side = await createFanoutSide({
    target: { hostname, port: Number(port) },
    issuePaths: async (count) => Array.from({ length: count }, () => '/'),
    greetingFrames: 0,
    publish: () => void child.request({ kind: 'publish', text: frameOf(sampleEvent()) }),
    pid: child.pid,
    serverPids: () => [],
  });
  stops.push(side.stop);
  return side;
}
