import type { AnyElysia } from 'elysia';
import type { HotRoute } from './http/hot.ts';
import type { SocketRoute } from './http/server.ts';
import type { Worker } from './lifecycle.ts';

/** A queue that a context consumes, as operators see it. */
export interface ConsumedQueue {
  queue: string;
  /**
   * What its consumer has applied. Absent where nobody can say: a consumer that is safe by the version
   * of what it changes keeps no list.
   */
  applied?: FindApplied;
}

export interface FindApplied {
  /** Events older than this may have been applied and forgotten. */
  memoryMs: number;
  /** Which of these events are known to be applied. */
  find(eventIds: readonly string[]): Promise<ReadonlySet<string>>;
}

/** One bounded context, assembled: what a process mounts, runs and probes. */
export interface Context {
  name: string;
  /** The public routes, under `/v1`. */
  routes: AnyElysia;
  /** Those of them that the server reaches without the framework in between. */
  hot?: readonly HotRoute[];
  /** Routes for other services, under `/internal/<name>`; never mounted at the edge. */
  internal?: AnyElysia;
  /** What it consumes. */
  queues?: readonly ConsumedQueue[];
  sockets?: readonly SocketRoute[];
  /** Brings its stores up to date; before anything else of it runs. Rejects while a server is away. */
  prepare?(): Promise<void>;
  /** Run once the process is ready to serve; stopped in reverse order. */
  workers: readonly Worker[];
  /** What the context can't work without; each rejects when its part is away. */
  checks: Record<string, () => Promise<unknown>>;
}
