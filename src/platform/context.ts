import type { AnyElysia } from 'elysia';
import type { SocketRoute } from './http/server.ts';
import type { Worker } from './lifecycle.ts';

/** One bounded context, assembled: what a process mounts, runs and probes. */
export interface Context {
  name: string;
  /** The public routes, under `/v1`. */
  routes: AnyElysia;
  /** Routes for other services, under `/internal/<name>`; never mounted at the edge. */
  internal?: AnyElysia;
  sockets?: readonly SocketRoute[];
  /** Brings its stores up to date; before anything else of it runs. Rejects while a server is away. */
  prepare?(): Promise<void>;
  /** Run once the process is ready to serve; stopped in reverse order. */
  workers: readonly Worker[];
  /** What the context can't work without; each rejects when its part is away. */
  checks: Record<string, () => Promise<unknown>>;
}
