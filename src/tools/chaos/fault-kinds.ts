import { systemClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, type Redis, waitForRedis } from '@platform/redis/connection.ts';
import type { City } from '../city/index.ts';
import type { TcpProxy } from '../faults/tcp-proxy.ts';
import { bannedDriver, silentDriver } from './driver-faults.ts';
import { promoteReplica } from './replica-promotion.ts';
import {
  type ServerName,
  type ServiceName,
  serverNames,
  serviceNames,
  servicesByServer,
  type TestBed,
} from './test-bed.ts';

/** Undoes a fault; resolves when what was hit is there again. */
export type HealFault = () => Promise<void>;

export interface FaultTarget {
  name: string;
  /** What the fault takes for itself while it lasts: no two faults have the same at once. */
  resource: string;
  /** Undefined when there was nothing to hit. */
  inject(stand: TestBed, city: City): Promise<HealFault | undefined>;
}

export interface ChaosFaultKind {
  name: string;
  /** How often it comes, compared with others; 0: once, at the very end, since there is no way back from it. */
  weight: number;
  /** How long it lasts before it is healed. */
  durationMs: { min: number; max: number };
  targets: readonly FaultTarget[];
}

const backTimeoutMs = 60_000;
const pollMs = 20;
// A quorum queue that has just been declared or recovered may lose its leader for good when its node is
// killed within the first second (RabbitMQ 3.10).
const brokerSettleMs = 1_500;
const memoryShareUsual = '0.4';
const diskLimitUsual = '50000000';
const diskLimitUnreachable = '1000000000000000';

const instant = { min: 0, max: 0 };
const briefly = { min: 500, max: 3_000 };
const aWhile = { min: 2_000, max: 7_000 };
// Longer than every lease there is: the outbox's 2 s, a charge's 14 s, a driver's standing of 20 s.
const pastEveryLease = { min: 22_000, max: 25_000 };

export const chaosFaultKinds: readonly ChaosFaultKind[] = [
  { name: 'service-killed', weight: 4, durationMs: instant, targets: services(killService) },
  { name: 'service-terminated', weight: 2, durationMs: instant, targets: services(terminateService) },
  { name: 'service-frozen', weight: 3, durationMs: aWhile, targets: services(freezeService) },
  {
    name: 'service-frozen-past-leases',
    weight: 1,
    durationMs: pastEveryLease,
    targets: services(freezeService),
  },
  { name: 'postgres-killed', weight: 1, durationMs: briefly, targets: [server('postgres', kill)] },
  { name: 'replica-killed', weight: 1, durationMs: briefly, targets: [server('replica', kill)] },
  { name: 'redis-killed', weight: 2, durationMs: briefly, targets: redis(kill) },
  { name: 'rabbitmq-killed', weight: 1, durationMs: briefly, targets: [server('rabbitmq', kill)] },
  {
    name: 'server-frozen',
    weight: 2,
    durationMs: aWhile,
    targets: serverNames.map((name) => server(name, freeze)),
  },
  { name: 'sessions-ended', weight: 1, durationMs: instant, targets: [server('postgres', endSessions)] },
  { name: 'connections-cut', weight: 3, durationMs: instant, targets: links(cut) },
  { name: 'connections-refused', weight: 2, durationMs: briefly, targets: links(refuse) },
  { name: 'connections-stalled', weight: 2, durationMs: aWhile, targets: links(stall) },
  { name: 'half-open', weight: 2, durationMs: aWhile, targets: links(strand) },
  { name: 'reply-swallowed', weight: 3, durationMs: instant, targets: links(swallow) },
  { name: 'broker-memory-alarm', weight: 1, durationMs: briefly, targets: [server('rabbitmq', alarmMemory)] },
  { name: 'broker-disk-alarm', weight: 1, durationMs: briefly, targets: [server('rabbitmq', alarmDisk)] },
  { name: 'replay-paused', weight: 1, durationMs: aWhile, targets: [server('replica', pauseReplay)] },
  { name: 'redis-demoted', weight: 2, durationMs: aWhile, targets: redis(demote) },
  { name: 'redis-flushed', weight: 2, durationMs: instant, targets: redis(flush) },
  { name: 'driver-banned', weight: 1, durationMs: aWhile, targets: [bannedDriver] },
  { name: 'driver-silent', weight: 1, durationMs: aWhile, targets: [silentDriver] },
  { name: 'replica-promoted', weight: 0, durationMs: instant, targets: [server('replica', promoteReplica)] },
];

type ServiceStrike = (stand: TestBed, name: ServiceName) => Promise<HealFault | undefined>;
type ServerStrike = (stand: TestBed, name: ServerName) => Promise<HealFault | undefined>;

function services(strike: ServiceStrike): FaultTarget[] {
  return serviceNames.map((name) => ({ name, resource: name, inject: (stand) => strike(stand, name) }));
}

function server(name: ServerName, strike: ServerStrike): FaultTarget {
  return { name, resource: name, inject: (stand) => strike(stand, name) };
}

function redis(strike: ServerStrike): FaultTarget[] {
  return [server('redis-geo', strike), server('redis-cache', strike)];
}

function links(strike: (proxy: TcpProxy) => HealFault): FaultTarget[] {
  return serverNames.flatMap((to) =>
    servicesByServer[to].map((from) => ({
      name: `${from} to ${to}`,
      resource: `${from}-${to}`,
      async inject(stand: TestBed) {
        const proxy = stand.proxyBetween(from, to);
        return proxy.connectionCount() === 0 ? undefined : strike(proxy);
      },
    })),
  );
}

async function killService(stand: TestBed, name: ServiceName): Promise<HealFault | undefined> {
  return endService(stand, name, 'SIGKILL');
}

async function terminateService(stand: TestBed, name: ServiceName): Promise<HealFault | undefined> {
  return endService(stand, name, 'SIGTERM');
}

function endService({ fleet }: TestBed, name: ServiceName, signal: NodeJS.Signals): HealFault | undefined {
  const service = fleet.services[name];
  if (!service.isReady()) return undefined;
  const before = service.restarts();
  service.signal(signal);
  return () => eventually(`${name} to be back`, () => service.restarts() > before && service.isReady());
}

async function freezeService({ fleet }: TestBed, name: ServiceName): Promise<HealFault | undefined> {
  const service = fleet.services[name];
  if (!service.isReady()) return undefined;
  service.signal('SIGSTOP');
  return async () => service.signal('SIGCONT');
}

async function kill(stand: TestBed, name: ServerName): Promise<HealFault> {
  const victim = stand.server(name);
  await victim.kill('SIGKILL');
  return async () => {
    await victim.restart();
    if (name === 'rabbitmq') await systemClock.sleep(brokerSettleMs);
  };
}

async function freeze(stand: TestBed, name: ServerName): Promise<HealFault> {
  const victim = stand.server(name);
  await victim.kill('SIGSTOP');
  return () => victim.kill('SIGCONT');
}

async function endSessions(stand: TestBed): Promise<HealFault> {
  const sql = stand.connectPrimary();
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'uit-go:%'`;
  await sql.end();
  return healed;
}

async function pauseReplay(stand: TestBed): Promise<HealFault> {
  const sql = stand.connectReplica();
  await sql`select pg_wal_replay_pause()`;
  return async () => {
    await sql`select pg_wal_replay_resume()`;
    await sql.end();
  };
}

async function alarmMemory(stand: TestBed): Promise<HealFault> {
  await control(stand, ['set_vm_memory_high_watermark', '0']);
  return () => control(stand, ['set_vm_memory_high_watermark', memoryShareUsual]);
}

async function alarmDisk(stand: TestBed): Promise<HealFault> {
  await control(stand, ['set_disk_free_limit', diskLimitUnreachable]);
  return () => control(stand, ['set_disk_free_limit', diskLimitUsual]);
}

async function control(stand: TestBed, command: readonly string[]): Promise<void> {
  await stand.server('rabbitmq').runAdminCommand?.(command);
}

async function flush(stand: TestBed, name: ServerName): Promise<HealFault> {
  await atRedis(stand, name, (client) => client.flushall());
  return healed;
}

/** A replica of nothing: it refuses writes until it is the primary again. */
async function demote(stand: TestBed, name: ServerName): Promise<HealFault> {
  await atRedis(stand, name, (client) => client.replicaof('127.0.0.1', 1));
  return () => atRedis(stand, name, (client) => client.replicaof('NO', 'ONE'));
}

async function atRedis(
  stand: TestBed,
  name: ServerName,
  act: (client: Redis) => Promise<unknown>,
): Promise<void> {
  const role = name === 'redis-geo' ? 'geo' : 'cache';
  const client = connectRedis(stand.server(name).url, role, createLog('silent'));
  try {
    await waitForRedis(client, backTimeoutMs);
    await act(client);
  } finally {
    client.disconnect();
  }
}

const healed: HealFault = async () => undefined;

function cut(proxy: TcpProxy): HealFault {
  proxy.closeConnections();
  return healed;
}

function refuse(proxy: TcpProxy): HealFault {
  proxy.refuseConnections();
  return async () => proxy.resume();
}

function stall(proxy: TcpProxy): HealFault {
  proxy.pause();
  return async () => proxy.resume();
}

function strand(proxy: TcpProxy): HealFault {
  proxy.makeHalfOpen();
  return async () => proxy.resume();
}

function swallow(proxy: TcpProxy): HealFault {
  proxy.dropNextReply();
  return healed;
}

async function eventually(what: string, condition: () => boolean): Promise<void> {
  const untilMs = systemClock.nowMs() + backTimeoutMs;
  while (!condition()) {
    if (systemClock.nowMs() > untilMs) throw new Error(`waited ${backTimeoutMs} ms for ${what}`);
    await systemClock.sleep(pollMs);
  }
}
