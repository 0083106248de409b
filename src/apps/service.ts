import { accessOf } from '@platform/auth/access.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import type { OperableBus } from '@platform/bus/bus.ts';
import type { Context } from '@platform/context.ts';
import { createDeadLetterRoutes } from '@platform/http/dead-letters.ts';
import { hotServerRoute } from '@platform/http/hot.ts';
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

/** Runs one context as a process of its own: its public routes, its internal ones, its workers. */
export function startService(
  runtime: Runtime,
  context: Context,
  operators?: Operators,
  /** Of the tokens of who comes to its hot routes; without one they go the way of all routes. */
  verifier?: Verifier,
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
    listen: () =>
      listen(runtime, { fetch: app.compile().fetch, routes: hot, sockets: context.sockets ?? [] }),
    access: accessOf(app),
  });
}
