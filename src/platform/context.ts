import type { AnyElysia } from 'elysia';
import type { HotRoute } from './http/hot-routes.ts';
import type { SocketRoute } from './http/server.ts';
import type { Worker } from './lifecycle.ts';

/** A queue that a context consumes, as the dead-letter routes show it. */
export interface ConsumedQueue {
  queue: string;
  /**
   * Looks up which events the consumer has applied. Absent for a consumer without an inbox, which is idempotent
   * because it compares versions.
   */
  appliedEvents?: AppliedEvents;
}

export interface AppliedEvents {
  /** For how long applied events are remembered. An older event may have been applied. */
  retentionMs: number;
  /** Returns those of the given events that are known to be applied. */
  find(eventIds: readonly string[]): Promise<ReadonlySet<string>>;
}

/** An assembled bounded context: what a process mounts, runs and checks. */
export interface Context {
  name: string;
  /** The public routes, under `/v1`. */
  routes: AnyElysia;
  /** The public routes that the server calls directly, without the web framework. */
  hotRoutes?: readonly HotRoute[];
  /** Routes for other services, under `/internal/<name>`; never mounted at the edge. */
  internalRoutes?: AnyElysia;
  /** The queues that the context consumes. */
  queues?: readonly ConsumedQueue[];
  socketRoutes?: readonly SocketRoute[];
  /** Migrates the stores before anything else of the context runs. Rejects while a server is unavailable. */
  prepare?(): Promise<void>;
  /** Started once the process is ready to serve, and stopped in reverse order. */
  workers: readonly Worker[];
  /** The dependencies that the context needs. Each check rejects while its dependency is unavailable. */
  readinessChecks: Record<string, () => Promise<unknown>>;
}
