import type { RouteAccess } from '@platform/auth/access.ts';
import { type Clock, systemClock } from '@platform/clock.ts';
import { type ConfigError, loadConfig } from '@platform/config.ts';
import type { Context } from '@platform/context.ts';
import { createHttpApp } from '@platform/http/app.ts';
import { createRequests } from '@platform/http/requests.ts';
import { type HttpServer, type ServeOptions, serve } from '@platform/http/server.ts';
import { createIds, type Ids } from '@platform/ids.ts';
import type { Worker } from '@platform/lifecycle.ts';
import { createLog, type Log, type LogLevel } from '@platform/log.ts';
import { createMetrics, type Metrics } from '@platform/metrics.ts';
import { isOutage } from '@platform/outage.ts';
import { type Random, systemRandom } from '@platform/random.ts';
import { type Static, type TObject, Type } from '@sinclair/typebox';
import { type ProcessSettings, processSettings } from './settings.ts';

export type Environment = Record<string, string | undefined>;

/** What all parts of one process share. */
export interface Runtime<Settings = object> {
  service: string;
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
  return {
    service,
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
export function httpAppOf(runtime: Runtime, checks: Context['checks'], accepting: () => boolean) {
  const { service, settings, clock, ids, log, metrics } = runtime;
  return createHttpApp({
    service,
    clock,
    ids,
    log,
    metrics,
    accepting,
    checks,
    accessLog: settings.LOG_LEVEL === 'info' || settings.LOG_LEVEL === 'debug',
    bodyBytesMax: settings.BODY_BYTES_MAX,
  });
}

/** What is done with each request of this process, whichever way it is routed. */
export const requestsOf = (runtime: Runtime) =>
  createRequests({ ...runtime, bodyBytesMax: runtime.settings.BODY_BYTES_MAX });

export const placeOf = ({ HOST, PORT, REUSE_PORT }: ProcessSettings) => ({
  hostname: HOST,
  port: PORT,
  reusePort: REUSE_PORT === 'yes',
});

/** Bun's own server, which has the WebSockets. */
export function listen(
  { settings }: Runtime,
  parts: Pick<ServeOptions, 'fetch' | 'routes' | 'sockets'>,
): HttpServer {
  return serve({
    ...parts,
    ...placeOf(settings),
    requestTimeoutMs: settings.REQUEST_TIMEOUT_MS,
    bodyBytesMax: settings.BODY_BYTES_MAX,
    frameBytesMax: settings.FRAME_BYTES_MAX,
    socketBufferBytesMax: settings.SOCKET_BUFFER_BYTES_MAX,
  });
}

export interface ProcessParts {
  /** Prepared one after the other, each tried again while a server is not there yet; then all their workers run. */
  contexts: readonly Context[];
  /** Of the process itself, beside those of its contexts. */
  workers?: readonly Worker[];
  /** Opens the port. */
  listen(): HttpServer;
  /** Who may call each route of the apps behind it. */
  access: readonly RouteAccess[];
  /** Told when the process may take traffic, and when it may no longer. */
  accept(open: boolean): void;
}

export interface RunningProcess {
  url: string;
  access: readonly RouteAccess[];
  /** Readiness off, workers stopped, requests under way finished, connections closed. */
  stop(): Promise<void>;
}

/** Prepares, starts the workers, and listens. */
export async function startProcess(runtime: Runtime, parts: ProcessParts): Promise<RunningProcess> {
  const { log } = runtime;
  for (const context of parts.contexts) await whenThere(runtime, async () => context.prepare?.());
  for (const worker of workersOf(parts)) await whenThere(runtime, () => worker.start());
  const server = parts.listen();
  parts.accept(true);
  log.info({ url: server.url }, 'ready');

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
  ...contexts.flatMap((context) => context.workers),
  ...workers,
];

async function stop(runtime: Runtime, parts: ProcessParts, server: HttpServer): Promise<void> {
  parts.accept(false);
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

/**
 * Runs a process until it is told to end: the first SIGINT or SIGTERM shuts down with grace, a second
 * ends at once. Exit code 2 when the configuration is wrong.
 */
export function main(start: (env: Environment) => Promise<RunningProcess>): void {
  start(process.env).then(
    (running) => {
      let signals = 0;
      const onSignal = () => {
        if (++signals > 1) process.exit(1);
        running.stop().then(
          () => process.exit(0),
          () => process.exit(1),
        );
      };
      process.on('SIGINT', onSignal);
      process.on('SIGTERM', onSignal);
    },
    (error: unknown) => {
      const isConfig = (error as ConfigError).name === 'ConfigError';
      console.error(isConfig ? (error as ConfigError).message : error);
      process.exit(isConfig ? 2 : 1);
    },
  );
}
