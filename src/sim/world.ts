import { positionRulesOf } from '@modules/driver/settings.ts';
import { createMemoryFanoutHub } from '@modules/notification/fanout/memory.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import { createMemoryInbox } from '@modules/notification/inbox/memory.ts';
import { createMemoryRides } from '@modules/notification/rides/memory.ts';
import { createMemoryTickets } from '@modules/notification/tickets/memory.ts';
import { SocketAgreement, type SocketHandlers } from '@platform/http/server.ts';
import { type Broker, createBroker } from './broker.ts';
import type { Harm } from './database.ts';
import { createFaultPlan, type FaultPlan, randomFor } from './faults.ts';
import {
  type Assembled,
  assemble,
  type Databases,
  type Service,
  type Surroundings,
  services,
  settings,
} from './instances.ts';
import { traceLog } from './log.ts';
import { createNetwork, type Network, type Server } from './network.ts';
import type { Planted } from './planted.ts';
import { createScheduler, type Scheduler, type Scope } from './scheduler.ts';
import { createSessions, type Sessions } from './sessions.ts';
import { createSharedPositions, createSharedRedis } from './stores.ts';

export interface WorldOptions {
  seed: number;
  databases: Databases;
  /** Exactly these faults, by id. */
  only?: ReadonlySet<string> | undefined;
  planted?: Planted | undefined;
}

export interface World {
  seed: number;
  scheduler: Scheduler;
  plan: FaultPlan;
  broker: Broker;
  network: Network;
  /** The store itself, behind the ways that break. */
  inbox: PersonInbox;
  databases: Databases;
  sessions: Sessions;
  /** Lets a person's live connection in at an instance; `cut` is called when that instance is gone. */
  openSocket(
    request: Request,
    cut: () => void,
  ): Promise<{ handlers: SocketHandlers; scope: Scope } | undefined>;
  /** No instance is stopped at the moment. */
  isAwake(): boolean;
}

interface Instance extends Server {
  service: Service;
  assembled: Assembled;
  pausedAtMs: number | undefined;
  links: Set<() => void>;
}

export const startMs = Date.UTC(2026, 10, 22, 8);
const instancesEach: Record<Service, number> = { trip: 2, driver: 1, payment: 2, notification: 1 };
// Longer than the lease of a relay (2 s), of a charge (9 s), and of a delivery (30 s).
const pauseMs = { least: 32_000, most: 45_000 };
/** How long nobody notices that an instance has stopped. */
const noticeMs = 4_000;
const restartMs = { least: 300, most: 2_000 };

/** The whole system of one run: two instances of what writes most, one of the others, and what they share. */
export function createWorld(options: WorldOptions): World {
  const { seed, databases, planted } = options;
  const scheduler = createScheduler(startMs, randomFor(seed, 'schedule'));
  const plan = createFaultPlan({ seed, only: options.only, note: scheduler.note });
  const self = scheduler.scope('supervisor');
  const choices = randomFor(seed, 'choices');
  const clock = scheduler.clock(self);
  const instances: Instance[] = [];
  let built = 0;

  const harm: Harm = { crash, pause };
  const log = traceLog(scheduler, self);
  const broker = createBroker({ scheduler, plan, harm, random: choices, log });
  const network = createNetwork({ scheduler, plan, find });
  const hub = createMemoryFanoutHub();
  const inbox = createMemoryInbox({ clock, hub, lengthMax: 500, entriesTtlMs: 86_400_000 });
  const sessions = createSessions({ seed, scheduler, broker });
  const around: Surroundings = {
    seed,
    scheduler,
    plan,
    harm,
    databases,
    broker: planted?.broker?.(broker, scheduler) ?? broker,
    network,
    redis: createSharedRedis(),
    positions: createSharedPositions(clock, positionRulesOf(settings.driver)),
    inbox: planted?.inbox?.(inbox) ?? inbox,
    tickets: createMemoryTickets(clock),
    hub,
    rides: createMemoryRides(clock),
    sessions,
    rewrite: planted?.rewrite,
  };
  for (const service of services) for (let n = 0; n < instancesEach[service]; n++) spawn(service);

  function spawn(service: Service): void {
    const scope = scheduler.scope(`${service}-${++built}`);
    scheduler.after(0, scope, async () => {
      const assembled = assemble(service, scope, around);
      const { handle } = assembled;
      const instance: Instance = {
        service,
        scope,
        assembled,
        handle,
        waiting: new Set(),
        links: new Set(),
        pausedAtMs: undefined,
      };
      for (const worker of assembled.context.workers) await worker.start();
      instances.push(instance);
      scheduler.note(`${scope.name} is up`);
    });
  }

  function instanceOf(scope: Scope): Instance | undefined {
    return instances.find((one) => one.scope === scope);
  }

  function crash(scope: Scope): void {
    const instance = instanceOf(scope);
    if (instance === undefined) return;
    scheduler.note(`${scope.name} dies`);
    scheduler.kill(scope);
    instances.splice(instances.indexOf(instance), 1);
    broker.disconnect(scope);
    cutAll(instance);
    scheduler.after(scheduler.between(restartMs.least, restartMs.most), self, () => spawn(instance.service));
  }

  function pause(scope: Scope): void {
    const instance = instanceOf(scope);
    if (instance === undefined || scope.state !== 'live') return;
    scheduler.note(`${scope.name} stops`);
    scheduler.pause(scope);
    instance.pausedAtMs = scheduler.nowMs();
    scheduler.after(noticeMs, self, () => {
      broker.disconnect(scope);
      cutAll(instance);
      spawn(instance.service);
    });
    scheduler.after(scheduler.between(pauseMs.least, pauseMs.most), self, () => {
      scheduler.note(`${scope.name} goes on`);
      instance.pausedAtMs = undefined;
      scheduler.resume(scope);
      broker.reconnect(scope);
    });
  }

  function cutAll({ waiting, links }: Instance): void {
    for (const cut of [...waiting, ...links]) cut();
    waiting.clear();
    links.clear();
  }

  /** Any that seems to be up. */
  function find(service: string): Instance | undefined {
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
      const instance = find('notification');
      if (instance === undefined || instance.scope.state !== 'live') return undefined;
      const answer = await instance.assembled.sockets[0]?.accept(request, { addressOf: () => '' });
      if (!(answer instanceof SocketAgreement)) return undefined;
      instance.links.add(cut);
      return { handlers: answer.handlers, scope: instance.scope };
    },
    isAwake: () => instances.every(({ scope }) => scope.state === 'live'),
  };
}
