import type { DomainEvent } from '../src/contracts/events.ts';
import { asPersonId, type DriverId, type RiderId } from '../src/contracts/ids.ts';
import type { Bus } from '../src/platform/bus/bus.ts';
import { createRabbitBus } from '../src/platform/bus/rabbit.ts';
import { systemClock } from '../src/platform/clock.ts';
import { createIds } from '../src/platform/ids.ts';
import { createLog } from '../src/platform/log.ts';
import { createMetrics } from '../src/platform/metrics.ts';
import { systemRandom } from '../src/platform/random.ts';
import type { Servers } from '../src/tools/servers/index.ts';
import { sampleEvent } from './events/sample.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { cpuMicrosOf } from './harness/cpu.ts';
import { runOpenLoopPart } from './harness/open-loop.ts';
import { type Measurement, measure, runClosedLoop } from './harness/rounds.ts';
import { median, percentilesOf, roundToFourDigits } from './harness/statistics.ts';
import { createTicketIssuer, namespace, socketAddressOf, startInstance } from './realtime/service.ts';
import { openRawClients, type RawClients } from './realtime/socket.ts';

export const bench: Bench = {
  name: 'push',
  describes: 'an event from RabbitMQ through the inboxes in Redis to the frames of its rider and driver',
  figures: [
    { key: 'perSecond', label: 'events to two people each', unit: '/s' },
    { key: 'p95Ms', label: 'event to frame at half load, p95', unit: 'ms', goal: { max: 100 } },
  ],
  run,
};

const instances = 2;
const pairs = 1_000;
const inFlight = 128;
const newId = createIds(systemClock, systemRandom);

interface Delivery {
  frames: number;
  onFrame(): void;
  done(): void;
}

interface Realtime {
  /** The process ids of the service. */
  pids: readonly number[];
  /** Publishes an event of a rider and a driver; resolves when both have the frame. Calls `onFrame` for each. */
  publishEvent(onFrame?: () => void): Promise<void>;
  stop(): Promise<void>;
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const servers = await options.startServers({ redis: true, rabbitmq: true });
  const realtime = await startRealtime(servers);
  try {
    options.reportProgress('warming up');
    await runClosedLoop(inFlight, 2, () => realtime.publishEvent());
    const measurements: Measurement[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      options.signal.throwIfAborted();
      const cpu = cpuMicrosOf(realtime.pids);
      const measurement = await measure(
        () => runClosedLoop(inFlight, options.seconds, () => realtime.publishEvent()),
        () => servers.all().flatMap((server) => server.pids()),
      );
      measurements.push({ ...measurement, cpuMicros: cpuMicrosOf(realtime.pids) - cpu });
      options.reportProgress(
        `round ${round}/${options.rounds}: ${Math.round(measurement.operations / measurement.seconds)} events/s`,
      );
    }
    const medianOf = (select: (measurement: Measurement) => number) =>
      roundToFourDigits(median(measurements.map(select)));
    const perSecond = medianOf(({ operations, seconds }) => operations / seconds);
    const half = perSecond / 2;
    options.savePart('closed loop', { perSecond, rounds: measurements.length });
    const latenciesMs: number[] = [];
    const paced = await runOpenLoopPart(options, 'event to frame at half capacity', {
      perSecond: half,
      seconds: Math.max(10, options.seconds),
      operate: (dueMs) => realtime.publishEvent(() => latenciesMs.push(performance.now() - dueMs)),
    });
    return {
      perSecond,
      cpuMicrosPerOp: medianOf(({ cpuMicros, operations }) => cpuMicros / operations),
      serverCpuMicrosPerOp: medianOf(({ serverCpuMicros = 0, operations }) => serverCpuMicros / operations),
      ...percentilesOf(latenciesMs),
      openLoopPerSecond: roundToFourDigits(half),
      openLoopFailed: paced.failed,
      frames: latenciesMs.length,
      sockets: 2 * pairs,
      instances,
    };
  } finally {
    await realtime.stop();
  }
}

async function startRealtime(servers: Servers): Promise<Realtime> {
  const bus = createRabbitBus({
    url: servers.rabbitmq?.url ?? '',
    namespace,
    clock: systemClock,
    random: systemRandom,
    log: createLog('error'),
    metrics: createMetrics(),
  });
  const running = await Promise.all(
    Array.from({ length: instances }, () => startInstance(servers, '127.0.0.1')),
  );
  const waiting = new Map<string, Delivery>();
  const people = Array.from({ length: pairs }, () => ({
    riderId: newId<RiderId>(),
    driverId: newId<DriverId>(),
  }));
  const clients = await connectAll(servers, running, people, (id) => {
    const delivery = waiting.get(id);
    if (delivery === undefined) return;
    delivery.onFrame();
    if (--delivery.frames > 0) return;
    waiting.delete(id);
    delivery.done();
  });
  let publishedCount = 0;

  return {
    pids: running.map(({ pid }) => pid),
    async publishEvent(onFrame = () => {}) {
      const event = assignedEvent(people[publishedCount++ % pairs]);
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.set(event.id, { frames: 2, onFrame, done: resolve });
      await Promise.all([publish(bus, event), promise]);
    },
    async stop() {
      for (const client of clients) client.close();
      await Promise.all([...running.map(({ stop }) => stop()), bus.close()]);
    },
  };
}

const publish = (bus: Bus, event: DomainEvent): Promise<unknown> => bus.publish([event]);

type Pair = { riderId: RiderId; driverId: DriverId };

/** Connects riders to one instance and drivers to the other, so that half of all frames cross instances. */
async function connectAll(
  servers: Servers,
  running: readonly Parameters<typeof socketAddressOf>[0][],
  people: readonly Pair[],
  onFrame: (eventId: string) => void,
): Promise<RawClients[]> {
  const tickets = await createTicketIssuer(servers);
  const opened: RawClients[] = [];
  for (const [index, instance] of running.entries()) {
    const role = index % 2 === 0 ? 'rider' : 'driver';
    const paths = await Promise.all(
      people.map(({ riderId, driverId }) =>
        tickets.issuePath(asPersonId(role === 'rider' ? riderId : driverId), role),
      ),
    );
    const onText = (_: number, payload: Uint8Array | undefined) => {
      const id = eventIdIn(payload);
      if (id !== undefined) onFrame(id);
    };
    opened.push(
      await openRawClients({ ...socketAddressOf(instance), paths }, { onText, onClose: () => {} }, true),
    );
  }
  tickets.close();
  return opened;
}

function eventIdIn(payload: Uint8Array | undefined): string | undefined {
  // `{"type":"event","seq":…,"id":"…",…`: the start of the frame is enough.
  const head = payload === undefined ? '' : Buffer.from(payload.subarray(0, 100)).toString();
  return /^\{"type":"event".*?"id":"([^"]+)"/.exec(head)?.[1];
}

function assignedEvent(people: Pair | undefined): DomainEvent<'trip.assigned.v1'> {
  const { data, ...event } = sampleEvent();
  return { ...event, type: 'trip.assigned.v1', data: { ...data, ...people, status: 'assigned' } };
}
