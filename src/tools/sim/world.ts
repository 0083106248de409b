import { positionRulesOf } from '@modules/driver/settings.ts';
import { createMemoryFanoutHub } from '@modules/notification/fanout/memory.ts';
import { createMemoryTripFollowers } from '@modules/notification/followers/memory.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import { createMemoryInbox } from '@modules/notification/inbox/memory.ts';
import { createMemoryTickets } from '@modules/notification/tickets/memory.ts';
import { type SocketHandlers, UpgradeResponse } from '@platform/http/server.ts';
import { createSimBroker, type SimBroker } from './broker.ts';
import { createFaultPlan, createNamedRandom, type FaultPlan } from './faults.ts';
import {
  createServiceInstance,
  type Databases,
  type ServiceInstance,
  type SharedEnvironment,
  type SimService,
  simServices,
  simSettings,
} from './instances.ts';
import { createSimLoginSessions, type SimLoginSessions } from './login-sessions.ts';
import { createNetwork, type Network, type NetworkServer } from './network.ts';
import type { BugPatch } from './planted-bugs.ts';
import { createScheduler, type Scheduler, type Scope } from './scheduler.ts';
import type { InstanceFaults } from './simulated-database.ts';
import { createSharedPositions, createSharedRedis } from './stores.ts';
import { createTraceLog } from './trace-log.ts';

export interface SimWorldOptions {
  seed: number;
  databases: Databases;
  /** Exactly these faults, by id. */
  only?: ReadonlySet<string> | undefined;
  planted?: BugPatch | undefined;
}

export interface SimWorld {
  seed: number;
  scheduler: Scheduler;
  plan: FaultPlan;
  broker: SimBroker;
  network: Network;
  /** The store itself, behind the ways that break. */
  inbox: PersonInbox;
  databases: Databases;
  sessions: SimLoginSessions;
  /** Lets a person's live connection in at an instance; `cut` is called when that instance is gone. */
  openSocket(
    request: Request,
    cut: () => void,
  ): Promise<{ handlers: SocketHandlers; scope: Scope } | undefined>;
  /** No instance is stopped at the moment. */
  isEveryInstanceLive(): boolean;
}

interface Instance extends NetworkServer {
  service: SimService;
  assembled: ServiceInstance;
  pausedAtMs: number | undefined;
  links: Set<() => void>;
}

export const startMs = Date.UTC(2026, 10, 22, 8);
const instancesEach: Record<SimService, number> = { trip: 2, driver: 1, payment: 2, notification: 1 };
// Longer than the lease of a relay (2 s), of a charge (9 s), and of a delivery (30 s).
const pauseMs = { least: 32_000, most: 45_000 };
/** How long nobody notices that an instance has stopped. */
const noticeMs = 4_000;
const restartMs = { least: 300, most: 2_000 };

/** The whole system of one run: two instances of what writes most, one of the others, and what they share. */
export function createSimWorld(options: SimWorldOptions): SimWorld {
  const { seed, databases, planted } = options;
  const scheduler = createScheduler(startMs, createNamedRandom(seed, 'schedule'));
  const plan = createFaultPlan({ seed, only: options.only, recordTrace: scheduler.recordTrace });
  const self = scheduler.createScope('supervisor');
  const choices = createNamedRandom(seed, 'choices');
  const clock = scheduler.createClock(self);
  const instances: Instance[] = [];
  let built = 0;

  const instanceFaults: InstanceFaults = { crash, pause };
  const log = createTraceLog(scheduler, self);
  const broker = createSimBroker({ scheduler, plan, instanceFaults, random: choices, log });
  const network = createNetwork({ scheduler, plan, findServer });
  const hub = createMemoryFanoutHub();
  const inbox = createMemoryInbox({ clock, hub, lengthMax: 500, entriesTtlMs: 86_400_000 });
  const sessions = createSimLoginSessions({ seed, scheduler, broker });
  const around: SharedEnvironment = {
    seed,
    scheduler,
    plan,
    instanceFaults,
    databases,
    broker: planted?.broker?.(broker, scheduler) ?? broker,
    network,
    redis: createSharedRedis(),
    positions: createSharedPositions(clock, positionRulesOf(simSettings.driver)),
    inbox: planted?.inbox?.(inbox) ?? inbox,
    tickets: createMemoryTickets(clock),
    hub,
    rides: createMemoryTripFollowers(clock),
    sessions,
    rewrite: planted?.rewrite,
  };
  for (const service of simServices) for (let n = 0; n < instancesEach[service]; n++) spawn(service);

  function spawn(service: SimService): void {
    const scope = scheduler.createScope(`${service}-${++built}`);
    scheduler.schedule(0, scope, async () => {
      const assembled = createServiceInstance(service, scope, around);
      const { handle } = assembled;
      const instance: Instance = {
        service,
        scope,
        assembled,
        handle,
        onDeathCallbacks: new Set(),
        links: new Set(),
        pausedAtMs: undefined,
      };
      for (const worker of assembled.context.workers) await worker.start();
      instances.push(instance);
      scheduler.recordTrace(`${scope.name} is up`);
    });
  }

  function instanceOf(scope: Scope): Instance | undefined {
    return instances.find((one) => one.scope === scope);
  }

  function crash(scope: Scope): void {
    const instance = instanceOf(scope);
    if (instance === undefined) return;
    scheduler.recordTrace(`${scope.name} dies`);
    scheduler.kill(scope);
    instances.splice(instances.indexOf(instance), 1);
    broker.disconnect(scope);
    cutAll(instance);
    scheduler.schedule(scheduler.randomBetween(restartMs.least, restartMs.most), self, () =>
      spawn(instance.service),
    );
  }

  function pause(scope: Scope): void {
    const instance = instanceOf(scope);
    if (instance === undefined || scope.state !== 'live') return;
    scheduler.recordTrace(`${scope.name} stops`);
    scheduler.pause(scope);
    instance.pausedAtMs = scheduler.nowMs();
    scheduler.schedule(noticeMs, self, () => {
      broker.disconnect(scope);
      cutAll(instance);
      spawn(instance.service);
    });
    scheduler.schedule(scheduler.randomBetween(pauseMs.least, pauseMs.most), self, () => {
      scheduler.recordTrace(`${scope.name} goes on`);
      instance.pausedAtMs = undefined;
      scheduler.resume(scope);
      broker.reconnect(scope);
    });
  }

  function cutAll({ onDeathCallbacks, links }: Instance): void {
    for (const cut of [...onDeathCallbacks, ...links]) cut();
    onDeathCallbacks.clear();
    links.clear();
  }

  /** Any that seems to be up. */
  function findServer(service: string): Instance | undefined {
    const nowMs = scheduler.nowMs();
    const up = instances.filter(
      (one) => one.service === service && (one.pausedAtMs === undefined || nowMs - one.pausedAtMs < noticeMs),
    );
    return up[Math.floor(choices.next() * up.length)];
  }

  return {
    seed,
    scheduler,
    plan,
    broker,
    network,
    inbox: around.inbox,
    databases,
    sessions,
    async openSocket(request, cut) {
      const instance = findServer('notification');
      if (instance === undefined || instance.scope.state !== 'live') return undefined;
      const answer = await instance.assembled.sockets[0]?.accept(request, { addressOf: () => '' });
      if (!(answer instanceof UpgradeResponse)) return undefined;
      instance.links.add(cut);
      return { handlers: answer.handlers, scope: instance.scope };
    },
    isEveryInstanceLive: () => instances.every(({ scope }) => scope.state === 'live'),
  };
}
