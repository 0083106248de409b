import type { Guard } from '@platform/auth/guard.ts';
import { readRouteAccess } from '@platform/auth/route-access.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import type { OperableBus } from '@platform/bus/bus.ts';
import type { Context } from '@platform/context.ts';
import { createDeadLetterRoutes } from '@platform/http/dead-letter-routes.ts';
import { createHotServerRoute } from '@platform/http/hot-routes.ts';
import type { Worker } from '@platform/lifecycle.ts';
import { apiDocumentRoute } from './documents/routes.ts';
import {
  createProcessHttpApp,
  createProcessRequestLifecycle,
  listen,
  type RunningProcess,
  type Runtime,
  startProcess,
} from './process.ts';

/** What the operators' routes of a context that consumes events need. */
export interface OperatorRouteDeps {
  bus: OperableBus;
  guard: Guard;
}

/** The operators' routes to the dead letters of the queues that the context consumes. */
export const createContextDeadLetterRoutes = (
  { clock, log }: Runtime,
  { name, queues = [] }: Context,
  { bus, guard }: OperatorRouteDeps,
) => createDeadLetterRoutes({ context: name, queues, bus, guard, clock, log });

export interface ServiceParts {
  /** Mounts the operators' routes when given. */
  operatorRoutes?: OperatorRouteDeps;
  /** Verifies the tokens on hot routes. Without it, hot routes go through the framework like all others. */
  verifier?: Verifier;
  /** Workers in addition to those of the context. */
  workers?: readonly Worker[];
}

/** Runs one context as a process of its own, with its public routes, internal routes and workers. */
export function startService(
  runtime: Runtime,
  context: Context,
  { operatorRoutes, verifier, workers = [] }: ServiceParts,
): Promise<RunningProcess> {
  const app = createProcessHttpApp(runtime, context.readinessChecks).use(context.routes);
  if (operatorRoutes !== undefined) app.use(createContextDeadLetterRoutes(runtime, context, operatorRoutes));
  if (context.internalRoutes !== undefined) app.use(context.internalRoutes);
  app.use(apiDocumentRoute(app));
  const accessLog = runtime.settings.LOG_LEVEL === 'debug';
  const hotRoutes =
    verifier === undefined
      ? []
      : (context.hotRoutes ?? []).map((route) =>
          createHotServerRoute(route, {
            ...runtime,
            lifecycle: createProcessRequestLifecycle(runtime),
            verifier,
            accessLog,
          }),
        );
  return startProcess(runtime, {
    contexts: [context],
    workers,
    listen: () =>
      listen(runtime, { fetch: app.compile().fetch, routes: hotRoutes, sockets: context.socketRoutes ?? [] }),
    access: readRouteAccess(app),
  });
}
