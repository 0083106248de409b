import { accessOf } from '@platform/auth/access.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import type { OperableBus } from '@platform/bus/bus.ts';
import type { Context } from '@platform/context.ts';
import { createDeadLetterRoutes } from '@platform/http/dead-letters.ts';
import { hotServerRoute } from '@platform/http/hot.ts';
import type { Worker } from '@platform/lifecycle.ts';
import { apiDocument } from './docs.ts';
import { httpAppOf, listen, type RunningProcess, type Runtime, requestsOf, startProcess } from './process.ts';

/** What the routes for operators of a consuming context need. */
export interface Operators {
  bus: OperableBus;
  guard: Guard;
}

/** The dead letters of the queues that the context consumes. */
export const deadLettersOf = (
  { clock, log }: Runtime,
  { name, queues = [] }: Context,
  { bus, guard }: Operators,
) => createDeadLetterRoutes({ context: name, queues, bus, guard, clock, log });

export interface ServiceParts {
  /** For the routes of operators. */
  operators?: Operators;
  /** Of the tokens on its hot routes; without one they are routed as all others. */
  verifier?: Verifier;
  /** Beside those of its context. */
  workers?: readonly Worker[];
}

/** Runs one context as a process of its own: its public routes, its internal ones, its workers. */
export function startService(
  runtime: Runtime,
  context: Context,
  { operators, verifier, workers = [] }: ServiceParts,
): Promise<RunningProcess> {
  const app = httpAppOf(runtime, context.checks).use(context.routes);
  if (operators !== undefined) app.use(deadLettersOf(runtime, context, operators));
  if (context.internal !== undefined) app.use(context.internal);
  app.use(apiDocument(app));
  const accessLog = runtime.settings.LOG_LEVEL === 'debug';
  const hot =
    verifier === undefined
      ? []
      : (context.hot ?? []).map((route) =>
          hotServerRoute(route, { ...runtime, requests: requestsOf(runtime), verifier, accessLog }),
        );
  return startProcess(runtime, {
    contexts: [context],
    workers,
    listen: () =>
      listen(runtime, { fetch: app.compile().fetch, routes: hot, sockets: context.sockets ?? [] }),
    access: accessOf(app),
  });
}
