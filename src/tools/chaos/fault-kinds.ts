import { systemClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, type Redis, waitForRedis } from '@platform/redis/connection.ts';
import type { TcpProxy } from '../faults/tcp-proxy.ts';
import { bannedDriver, silentDriver } from './driver-faults.ts';
import type { ChaosFaultKind, FaultTarget, HealFault } from './fault.ts';
import { promoteReplica } from './replica-promotion.ts';
import {
  type ServerName,
  type ServiceName,
  serverNames,
  serviceNames,
  servicesByServer,
  type TestBed,
} from './test-bed.ts';

const recoveryTimeoutMs = 60_000;
const pollMs = 20;
// A quorum queue that has just been declared or recovered may lose its leader permanently when its node is
// killed within the first second (RabbitMQ 3.10).
const brokerSettleMs = 1_500;
const memoryShareDefault = '0.4';
const diskLimitDefault = '50000000';
const diskLimitUnreachable = '1000000000000000';

const noDuration = { min: 0, max: 0 };
const shortDuration = { min: 500, max: 3_000 };
const longDuration = { min: 2_000, max: 7_000 };
// Longer than every lease: 2 s for an outbox, 14 s for a charge, 20 s for the availability of a driver.
const longerThanLeases = { min: 22_000, max: 25_000 };

export const chaosFaultKinds: readonly ChaosFaultKind[] = [
  { name: 'service-killed', weight: 4, durationMs: noDuration, targets: eachService(killService) },
  { name: 'service-terminated', weight: 2, durationMs: noDuration, targets: eachService(terminateService) },
  { name: 'service-frozen', weight: 3, durationMs: longDuration, targets: eachService(freezeService) },
  {
    name: 'service-frozen-past-leases',
    weight: 1,
    durationMs: longerThanLeases,
    targets: eachService(freezeService),
  },
  {
    name: 'postgres-killed',
    weight: 1,
    durationMs: shortDuration,
    targets: [onServer('postgres', killServer)],
  },
  {
    name: 'replica-killed',
    weight: 1,
    durationMs: shortDuration,
    targets: [onServer('replica', killServer)],
  },
  { name: 'redis-killed', weight: 2, durationMs: shortDuration, targets: eachRedis(killServer) },
  {
    name: 'rabbitmq-killed',
    weight: 1,
    durationMs: shortDuration,
    targets: [onServer('rabbitmq', killServer)],
  },
  {
    name: 'server-frozen',
    weight: 2,
    durationMs: longDuration,
    targets: serverNames.map((name) => onServer(name, freezeServer)),
  },
  {
    name: 'sessions-ended',
    weight: 1,
    durationMs: noDuration,
    targets: [onServer('postgres', terminateDatabaseSessions)],
  },
  { name: 'connections-cut', weight: 3, durationMs: noDuration, targets: eachConnection(closeConnections) },
  {
    name: 'connections-refused',
    weight: 2,
    durationMs: shortDuration,
    targets: eachConnection(refuseConnections),
  },
  {
    name: 'connections-stalled',
    weight: 2,
    durationMs: longDuration,
    targets: eachConnection(pauseConnections),
  },
  { name: 'half-open', weight: 2, durationMs: longDuration, targets: eachConnection(makeHalfOpen) },
  { name: 'reply-swallowed', weight: 3, durationMs: noDuration, targets: eachConnection(dropNextReply) },
  {
    name: 'broker-memory-alarm',
    weight: 1,
    durationMs: shortDuration,
    targets: [onServer('rabbitmq', raiseMemoryAlarm)],
  },
  {
    name: 'broker-disk-alarm',
    weight: 1,
    durationMs: shortDuration,
    targets: [onServer('rabbitmq', raiseDiskAlarm)],
  },
  { name: 'replay-paused', weight: 1, durationMs: longDuration, targets: [onServer('replica', pauseReplay)] },
  { name: 'redis-demoted', weight: 2, durationMs: longDuration, targets: eachRedis(demoteRedis) },
  { name: 'redis-flushed', weight: 2, durationMs: noDuration, targets: eachRedis(flushRedis) },
  { name: 'driver-banned', weight: 1, durationMs: longDuration, targets: [bannedDriver] },
  { name: 'driver-silent', weight: 1, durationMs: longDuration, targets: [silentDriver] },
  {
    name: 'replica-promoted',
    weight: 0,
    durationMs: noDuration,
    targets: [onServer('replica', promoteReplica)],
  },
];

type InjectAtService = (testBed: TestBed, name: ServiceName) => Promise<HealFault | undefined>;
type InjectAtServer = (testBed: TestBed, name: ServerName) => Promise<HealFault | undefined>;

function eachService(inject: InjectAtService): FaultTarget[] {
  return serviceNames.map((name) => ({ name, resource: name, inject: (testBed) => inject(testBed, name) }));
}

function onServer(name: ServerName, inject: InjectAtServer): FaultTarget {
  return { name, resource: name, inject: (testBed) => inject(testBed, name) };
}

function eachRedis(inject: InjectAtServer): FaultTarget[] {
  return [onServer('redis-geo', inject), onServer('redis-cache', inject)];
}

function eachConnection(inject: (proxy: TcpProxy) => HealFault): FaultTarget[] {
  return serverNames.flatMap((to) =>
    servicesByServer[to].map((from) => ({
      name: `${from} to ${to}`,
      resource: `${from}-${to}`,
      async inject(testBed: TestBed) {
        const proxy = testBed.proxyBetween(from, to);
        return proxy.connectionCount() === 0 ? undefined : inject(proxy);
      },
    })),
  );
}

async function killService(testBed: TestBed, name: ServiceName): Promise<HealFault | undefined> {
  return signalService(testBed, name, 'SIGKILL');
}

async function terminateService(testBed: TestBed, name: ServiceName): Promise<HealFault | undefined> {
  return signalService(testBed, name, 'SIGTERM');
}

function signalService({ fleet }: TestBed, name: ServiceName, signal: NodeJS.Signals): HealFault | undefined {
  const service = fleet.services[name];
  if (!service.isReady()) return undefined;
  const restartsBefore = service.restarts();
  service.signal(signal);
  return () => waitFor(`${name} to be back`, () => service.restarts() > restartsBefore && service.isReady());
}

async function freezeService({ fleet }: TestBed, name: ServiceName): Promise<HealFault | undefined> {
  const service = fleet.services[name];
  if (!service.isReady()) return undefined;
  service.signal('SIGSTOP');
  return async () => service.signal('SIGCONT');
}

async function killServer(testBed: TestBed, name: ServerName): Promise<HealFault> {
  const target = testBed.server(name);
  await target.kill('SIGKILL');
  return async () => {
    await target.restart();
    if (name === 'rabbitmq') await systemClock.sleep(brokerSettleMs);
  };
}

async function freezeServer(testBed: TestBed, name: ServerName): Promise<HealFault> {
  const target = testBed.server(name);
  await target.kill('SIGSTOP');
  return () => target.kill('SIGCONT');
}

async function terminateDatabaseSessions(testBed: TestBed): Promise<HealFault> {
  const sql = testBed.connectPrimary();
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'uit-go:%'`;
  await sql.end();
  return nothingToHeal;
}

async function pauseReplay(testBed: TestBed): Promise<HealFault> {
  const sql = testBed.connectReplica();
  await sql`select pg_wal_replay_pause()`;
  return async () => {
    await sql`select pg_wal_replay_resume()`;
    await sql.end();
  };
}

async function raiseMemoryAlarm(testBed: TestBed): Promise<HealFault> {
  await runBrokerCommand(testBed, ['set_vm_memory_high_watermark', '0']);
  return () => runBrokerCommand(testBed, ['set_vm_memory_high_watermark', memoryShareDefault]);
}

async function raiseDiskAlarm(testBed: TestBed): Promise<HealFault> {
  await runBrokerCommand(testBed, ['set_disk_free_limit', diskLimitUnreachable]);
  return () => runBrokerCommand(testBed, ['set_disk_free_limit', diskLimitDefault]);
}

async function runBrokerCommand(testBed: TestBed, command: readonly string[]): Promise<void> {
  await testBed.server('rabbitmq').runAdminCommand?.(command);
}

async function flushRedis(testBed: TestBed, name: ServerName): Promise<HealFault> {
  await withRedis(testBed, name, (client) => client.flushall());
  return nothingToHeal;
}

/** Makes it a replica of nothing: it rejects writes until it is the primary again. */
async function demoteRedis(testBed: TestBed, name: ServerName): Promise<HealFault> {
  await withRedis(testBed, name, (client) => client.replicaof('127.0.0.1', 1));
  return () => withRedis(testBed, name, (client) => client.replicaof('NO', 'ONE'));
}

async function withRedis(
  testBed: TestBed,
  name: ServerName,
  work: (client: Redis) => Promise<unknown>,
): Promise<void> {
  const role = name === 'redis-geo' ? 'geo' : 'cache';
  const client = connectRedis(testBed.server(name).url, role, createLog('silent'));
  try {
    await waitForRedis(client, recoveryTimeoutMs);
    await work(client);
  } finally {
    client.disconnect();
  }
}

const nothingToHeal: HealFault = async () => undefined;

function closeConnections(proxy: TcpProxy): HealFault {
  proxy.closeConnections();
  return nothingToHeal;
}

function refuseConnections(proxy: TcpProxy): HealFault {
  proxy.refuseConnections();
  return async () => proxy.resume();
}

function pauseConnections(proxy: TcpProxy): HealFault {
  proxy.pause();
  return async () => proxy.resume();
}

function makeHalfOpen(proxy: TcpProxy): HealFault {
  proxy.makeHalfOpen();
  return async () => proxy.resume();
}

function dropNextReply(proxy: TcpProxy): HealFault {
  proxy.dropNextReply();
  return nothingToHeal;
}

async function waitFor(awaited: string, condition: () => boolean): Promise<void> {
  const untilMs = systemClock.nowMs() + recoveryTimeoutMs;
  while (!condition()) {
    if (systemClock.nowMs() > untilMs) throw new Error(`waited ${recoveryTimeoutMs} ms for ${awaited}`);
    await systemClock.sleep(pollMs);
  }
}
