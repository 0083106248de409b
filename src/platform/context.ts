import type { AnyElysia } from 'elysia';
import type { HotRoute } from './http/hot-routes.ts';
import type { SocketRoute } from './http/server.ts';
import type { Worker } from './lifecycle.ts';

/** A queue that a context consumes, as operators see it. */
export interface ConsumedQueue {
  queue: string;
  /**
   * What its consumer has applied. Absent where nobody can say: a consumer that is safe by the version
   * of what it changes keeps no list.
   */
  appliedEvents?: AppliedEvents;
}

export interface AppliedEvents {
  /** Events older than this may have been applied and forgotten. */
  retentionMs: number;
  /** Which of these events are known to be applied. */
  find(eventIds: readonly string[]): Promise<ReadonlySet<string>>;
}

/** One bounded context, assembled: what a process mounts, runs and probes. */
export interface Context {
  name: string;
  /** The public routes, under `/v1`. */
  routes: AnyElysia;
  /** Those of them that the server reaches without the framework in between. */
  hotRoutes?: readonly HotRoute[];
  /** Routes for other services, under `/internal/<name>`; never mounted at the edge. */
  internalRoutes?: AnyElysia;
  /** What it consumes. */
  queues?: readonly ConsumedQueue[];
  socketRoutes?: readonly SocketRoute[];
  /** Brings its stores up to date; before anything else of it runs. Rejects while a server is away. */
  prepare?(): Promise<void>;
  /** Run once the process is ready to serve; stopped in reverse order. */
  workers: readonly Worker[];
  /** What the context can't work without; each rejects when its part is away. */
  readinessChecks: Record<string, () => Promise<unknown>>;
}
