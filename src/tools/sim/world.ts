import { positionRulesOf } from '@modules/driver/settings.ts';
import { createMemoryFanoutHub } from '@modules/notification/fanout/memory.ts';
import { createMemoryTripFollowers } from '@modules/notification/followers/memory.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import { createMemoryInbox } from '@modules/notification/inbox/memory.ts';
import { createMemoryTickets } from '@modules/notification/tickets/memory.ts';
import { type SocketHandlers, UpgradeResponse } from '@platform/http/server.ts';
import { createSimBroker, type SimBroker } from './broker.ts';
import { createFaultPlan, createNamedRandom, type FaultPlan } from './faults.ts';
import { createInstancePool } from './instance-pool.ts';
import { type Databases, type SharedEnvironment, type SimService, simSettings } from './instances.ts';
import { createSimLoginSessions, type SimLoginSessions } from './login-sessions.ts';
import { createNetwork, type Network } from './network.ts';
import type { BugPatch } from './planted-bugs.ts';
import { createScheduler, type Scheduler, type Scope } from './scheduler.ts';
import type { InstanceFaults } from './simulated-database.ts';
import { createSharedPositions, createSharedRedis } from './stores.ts';
import { createTraceLog } from './trace-log.ts';

export interface SimWorldOptions {
  seed: number;
  databases: Databases;
  /** Injects exactly these faults, by id. */
  only?: ReadonlySet<string> | undefined;
  planted?: BugPatch | undefined;
}

export interface SimWorld {
  seed: number;
  scheduler: Scheduler;
  plan: FaultPlan;
  broker: SimBroker;
  network: Network;
  /** The inbox store itself, without simulated faults. */
  inbox: PersonInbox;
  databases: Databases;
  sessions: SimLoginSessions;
  /** Opens a live connection of a person at an instance; `onDeath` is called when that instance dies. */
  openSocket(
    request: Request,
    onDeath: () => void,
  ): Promise<{ handlers: SocketHandlers; scope: Scope } | undefined>;
  /** No instance is paused. */
  isEveryInstanceLive(): boolean;
}

export const startMs = Date.UTC(2026, 10, 22, 8);
const instanceCounts: Record<SimService, number> = { trip: 2, driver: 1, payment: 2, notification: 1 };

/** The whole system of one run: two instances of the services that write most, one of the others, and what they share. */
export function createSimWorld(options: SimWorldOptions): SimWorld {
  const { seed, databases, planted } = options;
  const scheduler = createScheduler(startMs, createNamedRandom(seed, 'schedule'));
  const plan = createFaultPlan({ seed, only: options.only, recordTrace: scheduler.recordTrace });
  const supervisorScope = scheduler.createScope('supervisor');
  const choices = createNamedRandom(seed, 'choices');
  const clock = scheduler.createClock(supervisorScope);

  const pool = createInstancePool({ scheduler, choices, supervisorScope });
  const instanceFaults: InstanceFaults = { crash: pool.crash, pause: pool.pause };
  const log = createTraceLog(scheduler, supervisorScope);
  const broker = createSimBroker({ scheduler, plan, instanceFaults, random: choices, log });
  const network = createNetwork({ scheduler, plan, findServer: pool.find });
  const hub = createMemoryFanoutHub();
  const inbox = createMemoryInbox({ clock, hub, lengthMax: 500, entriesTtlMs: 86_400_000 });
  const sessions = createSimLoginSessions({ seed, scheduler, broker });
  const environment: SharedEnvironment = {
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
    tripFollowers: createMemoryTripFollowers(clock),
    sessions,
    rewrite: planted?.rewrite,
  };
  pool.start(environment, broker, instanceCounts);

  return {
    seed,
    scheduler,
    plan,
    broker,
    network,
    inbox: environment.inbox,
    databases,
    sessions,
    async openSocket(request, onDeath) {
      const found = pool.find('notification');
      if (found === undefined || found.scope.state !== 'live') return undefined;
      const answer = await found.instance.sockets[0]?.accept(request, { addressOf: () => '' });
      if (!(answer instanceof UpgradeResponse)) return undefined;
      found.onDeathOfSockets.add(onDeath);
      return { handlers: answer.handlers, scope: found.scope };
    },
    isEveryInstanceLive: pool.isEveryInstanceLive,
  };
}
