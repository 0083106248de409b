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
 * starting: the process listens and answers probes, but its stores may not be reachable yet.
 * serving: it takes traffic. stopping: it takes no new traffic and finishes the requests in flight.
 */
export type ProcessPhase = 'starting' | 'serving' | 'stopping';

/** What all parts of a process share. */
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
  /** Registers a function that runs at the end of the shutdown, in reverse order of registration. */
  onClose(close: () => Promise<unknown> | unknown): void;
  closeAll(): Promise<void>;
}

/** Reads the environment and creates the shared parts of a process. Throws ConfigError with every fault found. */
export function createRuntime<T extends TObject>(
  service: string,
  schema: T,
  env: Environment,
): Runtime<Static<T>> {
  const merged = Type.Object({ ...processSettings.properties, ...schema.properties });
  // TypeBox can't infer the merged type of a generic schema. It is the intersection of both.
  const settings = loadConfig(merged, env) as unknown as ProcessSettings & Static<T>;
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
        await Promise.resolve(close()).catch((error: unknown) =>
          log.warn({ err: error }, 'failed to close a resource'),
        );
    },
  };
}

/** The base HTTP app of this process, with problems, request ids, health and metrics. */
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

/** The request lifecycle of this process, for routes that bypass the framework. */
export const createProcessRequestLifecycle = (runtime: Runtime) =>
  createRequestLifecycle({ ...runtime, bodyBytesMax: runtime.settings.BODY_BYTES_MAX });

export const listenAddress = ({ HOST, PORT, REUSE_PORT }: ProcessSettings) => ({
  hostname: HOST,
  port: PORT,
  reusePort: REUSE_PORT === 'yes',
});

const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);
const startingProblem = problem('service.unavailable', {
  detail: 'The service is starting',
  retryAfterSeconds: 1,
});

/** Whether a request can be served now. Probes always can, because they need no store. */
export const canServe = (runtime: Pick<Runtime, 'phase'>, path: () => string): boolean =>
  runtime.phase() !== 'starting' || probes.has(path());

/** The response to all other requests while the process starts. */
export const rejectWhileStarting = <Reply>({ problem }: Pick<ResponseAdapter<Reply>, 'problem'>): Reply =>
  problem(startingProblem, undefined);

/** Listens with Bun's own server, which also serves WebSockets. */
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
  const rejectUntilPrepared =
    <Result>(next: (request: Request, peers: PeerAddresses) => Result) =>
    (request: Request, peers: PeerAddresses): Result | Response =>
      canServe(runtime, () => new URL(request.url, 'http://localhost').pathname)
        ? next(request, peers)
        : rejectWhileStarting(fetchResponseAdapter);
  return serve({
    fetch: rejectUntilPrepared(fetch),
    routes: routes.map((route) => ({ ...route, fetch: rejectUntilPrepared(route.fetch) })),
    sockets: sockets.map((route) => ({ ...route, accept: rejectUntilPrepared(route.accept) })),
    ...parts,
    ...listenAddress(settings),
    requestTimeoutMs: settings.REQUEST_TIMEOUT_MS,
    bodyBytesMax: settings.BODY_BYTES_MAX,
    frameBytesMax: settings.FRAME_BYTES_MAX,
    socketBufferBytesMax: settings.SOCKET_BUFFER_BYTES_MAX,
  });
}

export interface ProcessParts {
  /** Prepared one after the other, with retries while a server is not reachable yet. Then their workers start. */
  contexts: readonly Context[];
  /** Workers of the process itself. They start before the workers of the contexts, which may need them. */
  workers?: readonly Worker[];
  /** Opens the port. */
  listen(): HttpServer;
  /** Which roles may call each route of the process. */
  access: readonly RouteAccess[];
}

export interface RunningProcess {
  url: string;
  access: readonly RouteAccess[];
  /** Turns readiness off, stops the workers, finishes requests in flight, then closes connections. */
  stop(): Promise<void>;
}

/**
 * Starts listening first, so that a supervisor sees at once that the process is alive. Then it prepares the
 * contexts and starts the workers. Resolves when the process takes traffic.
 */
export async function startProcess(runtime: Runtime, parts: ProcessParts): Promise<RunningProcess> {
  // The kernel gives every listener of a shared port a share of the connections. So a process with a shared port
  // listens only once it is prepared.
  const earlyServer = runtime.settings.REUSE_PORT === 'no' ? parts.listen() : undefined;
  try {
    for (const context of parts.contexts)
      await retryWhileUnreachable(runtime, async () => context.prepare?.());
    for (const worker of workersOf(parts)) await retryWhileUnreachable(runtime, () => worker.start());
  } catch (error) {
    await earlyServer?.stop(0);
    await runtime.closeAll();
    throw error;
  }
  runtime.enterPhase('serving');
  const server = earlyServer ?? parts.listen();
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
  runtime.enterPhase('stopping');
  for (const worker of workersOf(parts).toReversed()) {
    await worker
      .stop()
      .catch((error: unknown) =>
        runtime.log.warn({ worker: worker.name, err: error }, 'failed to stop worker'),
      );
  }
  await server.stop(runtime.settings.SHUTDOWN_GRACE_MS);
  await runtime.closeAll();
}

const startTimeoutMs = 60_000;
const retryDelayMs = 500;

/** Retries while a server is not reachable, because all processes of a fleet start at the same time. */
async function retryWhileUnreachable({ clock, log }: Runtime, start: () => Promise<unknown>): Promise<void> {
  const giveUpAtMs = clock.nowMs() + startTimeoutMs;
  for (;;) {
    try {
      await start();
      return;
    } catch (error) {
      if (!isOutage(error) || clock.nowMs() > giveUpAtMs) throw error;
      log.warn({ err: error }, 'server not reachable yet, retrying');
      await clock.sleep(retryDelayMs);
    }
  }
}

/** Set in an executable by `bun run build`. */
const version = process.env.UIT_GO_VERSION ?? 'source';

const invalidConfigurationExitCode = 2;

/**
 * Runs a process until a signal ends it. The first SIGINT or SIGTERM shuts down gracefully, a second one exits at
 * once. When the configuration is invalid, it prints the list of faults and exits with code 2.
 */
export function main(start: (env: Environment) => Promise<RunningProcess>): void {
  let running: RunningProcess | undefined;
  let signalCount = 0;
  const onSignal = () => {
    if (++signalCount > 1) process.exit(1);
    // No request is in flight while the process starts, so it can exit at once.
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
      process.exit(invalidConfigurationExitCode);
    },
  );
}
