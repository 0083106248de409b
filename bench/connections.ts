import { systemClock } from '../src/platform/clock.ts';
import type { Servers } from '../src/tools/servers/index.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { cpuMicrosOf } from './harness/cpu.ts';
import { alternateSides, median, roundToFourDigits, type Side } from './harness/statistics.ts';
import type { BareRequest } from './realtime/bare.ts';
import { startChild } from './realtime/child.ts';
import type { InstanceResponse } from './realtime/instance.ts';
import {
  type ClientProcess,
  createTicketIssuer,
  socketAddressOf,
  startClients,
  startInstance,
  type TicketIssuer,
} from './realtime/service.ts';

export const bench: Bench = {
  name: 'connections',
  describes: 'memory of an idle connection with heartbeat in the service, against bare Bun sockets',
  figures: [
    {
      key: 'bytesRatio',
      label: 'one more idle connection ÷ a bare Bun socket',
      unit: 'ratio',
      goal: { max: 1.3 },
    },
    { key: 'bytesEach', label: 'one more idle connection', unit: 'bytes' },
    { key: 'count', label: 'connections held', unit: 'count' },
  ],
  run,
};

// A process may open 20,000 descriptors, so the connections are spread over several server and client pairs.
const processes = 3;
const connectionsEach = 17_000;
// Opened first and not counted: they make a process allocate what it needs for any connection at all.
const warmUpConnectionsEach = 2_000;
// At least two heartbeats: each connection has been pinged and has answered.
const idleMsMin = 10_000;

interface HeldConnections {
  connections: number;
  /** Memory of one more connection. */
  bytesEach: number;
  /** The same including all memory that the first connections made the process allocate: caches, code, heap reserve. */
  wholeBytesEach: number;
  closed: number;
  /** CPU time of all server processes per idle second. */
  cpuMicrosPerSecond: number;
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const servers = await options.startServers({ redis: true, rabbitmq: true });
  const tickets = await createTicketIssuer(servers);
  const samples: Record<Side, HeldConnections[]> = { ours: [], baseline: [] };
  try {
    for (const order of alternateSides(options.rounds))
      for (const side of order) {
        options.signal.throwIfAborted();
        const sample = await holdConnections(side, servers, tickets, options);
        options.reportProgress(`${side}: ${sample.connections} connections of ${formatBytes(sample)} bytes`);
        samples[side].push(sample);
      }
  } finally {
    tickets.close();
  }
  return summarise(samples);
}

const formatBytes = ({ bytesEach, wholeBytesEach }: HeldConnections) =>
  `${Math.round(bytesEach)}, with all that the process grew by ${Math.round(wholeBytesEach)}`;

function summarise({ ours, baseline }: Record<Side, HeldConnections[]>): BenchResult {
  const medianOf = (all: HeldConnections[], select: (sample: HeldConnections) => number) =>
    roundToFourDigits(median(all.map(select)));
  const bytes = ({ bytesEach }: HeldConnections) => bytesEach;
  const whole = ({ wholeBytesEach }: HeldConnections) => wholeBytesEach;
  const ratioOf = (select: (sample: HeldConnections) => number) =>
    roundToFourDigits(
      median(ours.map((sample, round) => select(sample) / select(baseline[round] ?? sample))),
    );
  return {
    count: Math.min(...ours.map(({ connections, closed }) => connections - closed)),
    bytesEach: medianOf(ours, bytes),
    baselineBytesEach: medianOf(baseline, bytes),
    wholeBytesEach: medianOf(ours, whole),
    baselineWholeBytesEach: medianOf(baseline, whole),
    bytesRatio: ratioOf(bytes),
    wholeBytesRatio: ratioOf(whole),
    closed: ours.reduce((sum, { closed }) => sum + closed, 0),
    idleCpuMicrosPerSecond: medianOf(ours, (sample) => sample.cpuMicrosPerSecond),
    baselineIdleCpuMicrosPerSecond: medianOf(baseline, (sample) => sample.cpuMicrosPerSecond),
  };
}

async function holdConnections(
  side: Side,
  servers: Servers,
  tickets: TicketIssuer,
  { seconds, signal }: BenchOptions,
): Promise<HeldConnections> {
  const stops: (() => Promise<void>)[] = [];
  try {
    const pairs = await Promise.all(Array.from({ length: processes }, (_, index) => startPair(index)));
    const empty = await Promise.all(pairs.map(residentBytes));
    await openAll(pairs, warmUpConnectionsEach);
    const before = await Promise.all(pairs.map(residentBytes));
    await openAll(pairs, connectionsEach - warmUpConnectionsEach);
    const pids = pairs.map(({ server }) => server.pid);
    const cpu = cpuMicrosOf(pids);
    const idleMs = Math.max(idleMsMin, seconds * 1_000);
    await systemClock.sleep(idleMs, signal);
    const cpuMicrosPerSecond = ((cpuMicrosOf(pids) - cpu) / idleMs) * 1_000;
    const closed = await Promise.all(pairs.map(({ clients }) => clients.request({ kind: 'closed' })));
    const after = await Promise.all(pairs.map(residentBytes));
    return {
      connections: processes * connectionsEach,
      bytesEach: (sum(after) - sum(before)) / (processes * (connectionsEach - warmUpConnectionsEach)),
      wholeBytesEach: (sum(after) - sum(empty)) / (processes * connectionsEach),
      closed: sum(closed),
      cpuMicrosPerSecond,
    };
  } finally {
    await Promise.all(stops.map((stop) => stop()));
  }

  async function startPair(index: number): Promise<Pair> {
    // Each pair has a loopback address of its own, because one address has too few ports.
    const hostname = `127.0.0.${index + 10}`;
    const [server, clients] = await Promise.all([startServer(side, servers, hostname), startClients()]);
    stops.push(clients.stop, server.stop);
    const paths = async (count: number) =>
      side === 'ours' ? tickets.issuePaths(count, 'rider') : Array.from({ length: count }, () => '/');
    return { server, clients, paths };
  }
}

const startServer = (side: Side, servers: Servers, hostname: string) =>
  side === 'ours'
    ? startInstance(servers, hostname)
    : startChild<BareRequest, InstanceResponse>({
        command: [process.execPath, `${import.meta.dir}/realtime/bare.ts`],
        env: { HOST: hostname },
      });

interface Pair {
  server: Awaited<ReturnType<typeof startServer>>;
  clients: ClientProcess;
  paths(count: number): Promise<string[]>;
}

async function openAll(pairs: readonly Pair[], count: number): Promise<void> {
  for (const { clients, server, paths } of pairs)
    await clients.request({ kind: 'open', ...socketAddressOf(server), paths: await paths(count) });
}

const residentBytes = async ({ server }: Pair): Promise<number> =>
  (await server.request({ kind: 'memory' })).residentBytes;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
