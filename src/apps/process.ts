import type { RouteAccess } from '@platform/auth/route-access.ts';
import { type Clock, systemClock } from '@platform/clock.ts';
import { ConfigError, loadConfig } from '@platform/config.ts';
import type { Context } from '@platform/context.ts';
import { createHttpApp } from '@platform/http/app.ts';
import { fetchResponseAdapter, type ResponseAdapter } from '@platform/http/edge-request.ts';
import { createRequestLifecycle } from '@platform/http/request-lifecycle.ts';
import { type HttpServer, type PeerAddresses, type ServeOptions, serve } from '@platform/http/server.ts';
import { createIds, type Ids } from '@platform/ids.ts';
import type { Worker } from '@platform/lifecycle.ts';
import { createLog, type Log, type LogLevel } from '@platform/log.ts';
import { createMetrics, type Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import { problem } from '@platform/problems.ts';
import { type Random, systemRandom } from '@platform/random.ts';
import { type Static, type TObject, Type } from '@sinclair/typebox';
import { type ProcessSettings, processSettings } from './settings.ts';

export type Environment = Record<string, string | undefined>;

/**
 * starting: it listens and answers probes, its stores may not be there yet. serving: it takes traffic.
 * ending: it takes no new traffic and finishes what it has.
 */
export type ProcessPhase = 'starting' | 'serving' | 'ending';

/** What all parts of one process share. */
export interface Runtime<Settings = object> {
  service: string;
  phase(): ProcessPhase;
  enterPhase(phase: ProcessPhase): void;
  settings: ProcessSettings & Settings;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  /** Runs at the very end of the shutdown, the latest registered first. */
  onClose(close: () => Promise<unknown> | unknown): void;
  closeAll(): Promise<void>;
}

/** Reads the environment (throws ConfigError with every fault in it) and makes the parts that have no state. */
export function createRuntime<T extends TObject>(
  service: string,
  schema: T,
  env: Environment,
): Runtime<Static<T>> {
  const both = Type.Object({ ...processSettings.properties, ...schema.properties });
  // TypeBox can't compute the merged type of a generic schema; it is the intersection of both.
  const settings = loadConfig(both, env) as unknown as ProcessSettings & Static<T>;
  const closers: (() => Promise<unknown> | unknown)[] = [];
  const log = createLog(settings.LOG_LEVEL as LogLevel, { service });
  let phase: ProcessPhase = 'starting';
  return {
    service,
    phase: () => phase,
    enterPhase: (next) => {
      phase = next;
    },
    settings,
    clock: systemClock,
    random: systemRandom,
    ids: createIds(systemClock, systemRandom),
    log,
    metrics: createMetrics(),
    onClose: (close) => closers.push(close),
    async closeAll() {
      for (const close of closers.reverse())
        await Promise.resolve(close()).catch((error: unknown) => log.warn({ err: error }, 'closing'));
    },
  };
}

/** An HTTP app of this process: the base that problems, ids, health and metrics come with. */
export function createProcessHttpApp(runtime: Runtime, readinessChecks: Context['readinessChecks']) {
  const { service, settings, clock, ids, log, metrics } = runtime;
  return createHttpApp({
    service,
    clock,
    ids,
    log,
    metrics,
    isAccepting: () => runtime.phase() === 'serving',
    readinessChecks,
    accessLog: settings.LOG_LEVEL === 'info' || settings.LOG_LEVEL === 'debug',
    bodyBytesMax: settings.BODY_BYTES_MAX,
  });
}

/** What is done with each request of this process, whichever way it is routed. */
export const createProcessRequestLifecycle = (runtime: Runtime) =>
  createRequestLifecycle({ ...runtime, bodyBytesMax: runtime.settings.BODY_BYTES_MAX });

export const listenAddress = ({ HOST, PORT, REUSE_PORT }: ProcessSettings) => ({
  hostname: HOST,
  port: PORT,
  reusePort: REUSE_PORT === 'yes',
});

const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);
const startingFault = problem('service.unavailable', {
  detail: 'The service is starting',
  retryAfterSeconds: 1,
});

/** Whether a request finds the stores that it needs; a probe needs none. */
export const canServe = (runtime: Pick<Runtime, 'phase'>, path: () => string): boolean =>
  runtime.phase() !== 'starting' || probes.has(path());

/** What is told to all others meanwhile. */
export const rejectWhileStarting = <Answer>({ problem }: Pick<ResponseAdapter<Answer>, 'problem'>): Answer =>
  problem(startingFault, undefined);

/** Bun's own server, which has the WebSockets. */
export function listen(
  runtime: Runtime,
  {
    fetch,
    routes = [],
    sockets,
    ...parts
  }: Pick<ServeOptions, 'fetch' | 'routes' | 'sockets' | 'toErrorResponse'>,
): HttpServer {
  const { settings } = runtime;
  const whenPrepared =
    <Answered>(next: (request: Request, peers: PeerAddresses) => Answered) =>
    (request: Request, peers: PeerAddresses): Answered | Response =>
      canServe(runtime, () => new URL(request.url, 'http://localhost').pathname)
        ? next(request, peers)
        : rejectWhileStarting(fetchResponseAdapter);
  return serve({
    fetch: whenPrepared(fetch),
    routes: routes.map((route) => ({ ...route, fetch: whenPrepared(route.fetch) })),
    sockets: sockets.map((route) => ({ ...route, accept: whenPrepared(route.accept) })),
    ...parts,
    ...listenAddress(settings),
    requestTimeoutMs: settings.REQUEST_TIMEOUT_MS,
    bodyBytesMax: settings.BODY_BYTES_MAX,
    frameBytesMax: settings.FRAME_BYTES_MAX,
    socketBufferBytesMax: settings.SOCKET_BUFFER_BYTES_MAX,
  });
}

export interface ProcessParts {
  /** Prepared one after the other, each tried again while a server is not there yet; then all their workers run. */
  contexts: readonly Context[];
  /** Of the process itself; started before those of its contexts, which may need them. */
  workers?: readonly Worker[];
  /** Opens the port. */
  listen(): HttpServer;
  /** Who may call each route of the apps behind it. */
  access: readonly RouteAccess[];
}

export interface RunningProcess {
  url: string;
  access: readonly RouteAccess[];
  /** Readiness off, workers stopped, requests under way finished, connections closed. */
  stop(): Promise<void>;
}

/**
 * Listens first, so that whoever started the process sees at once that it lives; then prepares and starts the
 * workers. Resolves when it takes traffic.
 */
export async function startProcess(runtime: Runtime, parts: ProcessParts): Promise<RunningProcess> {
  // Whoever listens at a shared port gets a share of all connections: there, only who is prepared may.
  const early = runtime.settings.REUSE_PORT === 'no' ? parts.listen() : undefined;
  try {
    for (const context of parts.contexts) await whenThere(runtime, async () => context.prepare?.());
    for (const worker of workersOf(parts)) await whenThere(runtime, () => worker.start());
  } catch (error) {
    await early?.stop(0);
    await runtime.closeAll();
    throw error;
  }
  runtime.enterPhase('serving');
  const server = early ?? parts.listen();
  runtime.log.info({ url: server.url, version }, 'ready');

  let stopping: Promise<void> | undefined;
  return {
    url: server.url,
    access: parts.access,
    stop: () => {
      stopping ??= stop(runtime, parts, server);
      return stopping;
    },
  };
}

const workersOf = ({ contexts, workers = [] }: ProcessParts): Worker[] => [
  ...workers,
  ...contexts.flatMap((context) => context.workers),
];

async function stop(runtime: Runtime, parts: ProcessParts, server: HttpServer): Promise<void> {
  runtime.enterPhase('ending');
  for (const worker of workersOf(parts).toReversed()) {
    await worker
      .stop()
      .catch((error: unknown) => runtime.log.warn({ worker: worker.name, err: error }, 'stopping'));
  }
  await server.stop(runtime.settings.SHUTDOWN_GRACE_MS);
  await runtime.closeAll();
}

const patienceMs = 60_000;
const pauseMs = 500;

/** A server that is not there yet is waited for: in a fleet everything starts at once. */
async function whenThere({ clock, log }: Runtime, act: () => Promise<unknown>): Promise<void> {
  const giveUpAtMs = clock.nowMs() + patienceMs;
  for (;;) {
    try {
      await act();
      return;
    } catch (error) {
      if (!isOutage(error) || clock.nowMs() > giveUpAtMs) throw error;
      log.warn({ err: error }, 'a server is not there yet; trying again');
      await clock.sleep(pauseMs);
    }
  }
}

/** Set in an executable by `bun run build`. */
const version = process.env.UIT_GO_VERSION ?? 'source';

const wrongConfigurationExitCode = 2;

/**
 * Runs a process until it is told to end: the first SIGINT or SIGTERM shuts down with grace, a second
 * ends at once. Exit code 2 and the list of faults when the configuration is wrong, in whichever way `start`
 * fails of it.
 */
export function main(start: (env: Environment) => Promise<RunningProcess>): void {
  let running: RunningProcess | undefined;
  let signals = 0;
  const onSignal = () => {
    if (++signals > 1) process.exit(1);
    // While it starts, nothing is under way that would be lost.
    (running?.stop() ?? Promise.resolve()).then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  Promise.try(start, process.env).then(
    (started) => {
      running = started;
    },
    (error: unknown) => {
      if (!(error instanceof ConfigError)) {
        console.error(error);
        process.exit(1);
      }
      console.error(error.message);
      process.exit(wrongConfigurationExitCode);
    },
  );
}
