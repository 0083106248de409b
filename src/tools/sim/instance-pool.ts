import type { Random } from '@platform/random.ts';
import type { SimBroker } from './broker.ts';
import {
  createServiceInstance,
  type ServiceInstance,
  type SharedEnvironment,
  type SimService,
} from './instances.ts';
import type { NetworkServer } from './network.ts';
import type { Scheduler, Scope } from './scheduler.ts';

/** A running instance of a service, with the connections that are lost when it dies. */
export interface RunningInstance extends NetworkServer {
  service: SimService;
  instance: ServiceInstance;
  pausedAtMs: number | undefined;
  /** One for each live connection. */
  onDeathOfSockets: Set<() => void>;
}

export interface InstancePoolDeps {
  scheduler: Scheduler;
  /** The source of random choices between instances. */
  choices: Random;
  supervisorScope: Scope;
}

// Longer than the lease of a relay (2 s), of a charge (9 s), and of a delivery (30 s).
const pauseMs = { min: 32_000, max: 45_000 };
/** How long a paused instance stays undetected. */
const detectionMs = 4_000;
const restartMs = { min: 300, max: 2_000 };

/**
 * Starts instances, replaces those that crash, and replaces paused ones once they are detected. A paused
 * instance resumes later and then runs beside its replacement.
 */
export function createInstancePool({ scheduler, choices, supervisorScope }: InstancePoolDeps) {
  const running: RunningInstance[] = [];
  let startedCount = 0;
  let started: { environment: SharedEnvironment; broker: SimBroker } | undefined;

  return {
    /** Must be called once, before the simulation runs: the environment itself needs the pool. */
    start(environment: SharedEnvironment, broker: SimBroker, counts: Record<SimService, number>): void {
      started = { environment, broker };
      for (const [service, count] of Object.entries(counts) as [SimService, number][])
        for (let n = 0; n < count; n++) startInstance(service);
    },
    crash,
    pause,
    find,
    isEveryInstanceLive: () => running.every(({ scope }) => scope.state === 'live'),
  };

  function startInstance(service: SimService): void {
    const scope = scheduler.createScope(`${service}-${++startedCount}`);
    scheduler.schedule(0, scope, async () => {
      const instance = createServiceInstance(service, scope, shared().environment);
      for (const worker of instance.context.workers) await worker.start();
      running.push({
        ...{ service, scope, instance, handle: instance.handle, pausedAtMs: undefined },
        onDeathCallbacks: new Set(),
        onDeathOfSockets: new Set(),
      });
      scheduler.recordTrace(`${scope.name} is up`);
    });
  }

  function shared() {
    if (started === undefined) throw new Error('the instance pool was not started');
    return started;
  }

  function crash(scope: Scope): void {
    const crashed = running.find((other) => other.scope === scope);
    if (crashed === undefined) return;
    scheduler.recordTrace(`${scope.name} crashed`);
    scheduler.kill(scope);
    running.splice(running.indexOf(crashed), 1);
    shared().broker.disconnect(scope);
    loseConnections(crashed);
    const delayMs = scheduler.randomBetween(restartMs.min, restartMs.max);
    scheduler.schedule(delayMs, supervisorScope, () => startInstance(crashed.service));
  }

  function pause(scope: Scope): void {
    const paused = running.find((other) => other.scope === scope);
    if (paused === undefined || scope.state !== 'live') return;
    scheduler.recordTrace(`${scope.name} paused`);
    scheduler.pause(scope);
    paused.pausedAtMs = scheduler.nowMs();
    scheduler.schedule(detectionMs, supervisorScope, () => {
      shared().broker.disconnect(scope);
      loseConnections(paused);
      startInstance(paused.service);
    });
    scheduler.schedule(scheduler.randomBetween(pauseMs.min, pauseMs.max), supervisorScope, () => {
      scheduler.recordTrace(`${scope.name} resumed`);
      paused.pausedAtMs = undefined;
      scheduler.resume(scope);
      shared().broker.reconnect(scope);
    });
  }

  function loseConnections({ onDeathCallbacks, onDeathOfSockets }: RunningInstance): void {
    for (const onDeath of [...onDeathCallbacks, ...onDeathOfSockets]) onDeath();
    onDeathCallbacks.clear();
    onDeathOfSockets.clear();
  }

  /** Any instance that seems to be up. */
  function find(service: string): RunningInstance | undefined {
    const nowMs = scheduler.nowMs();
    const reachable = running.filter(
      (other) =>
        other.service === service &&
        (other.pausedAtMs === undefined || nowMs - other.pausedAtMs < detectionMs),
    );
    return reachable[Math.floor(choices.next() * reachable.length)];
  }
}
