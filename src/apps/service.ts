import type { Context } from '@platform/context.ts';
import { apiDocument } from './docs.ts';
import { httpAppOf, type RunningProcess, type Runtime, startProcess } from './process.ts';

/** Runs one context as a process of its own: its public routes, its internal ones, its workers. */
export function startService(runtime: Runtime, context: Context): Promise<RunningProcess> {
  let accepting = false;
  const app = httpAppOf(runtime, context.checks, () => accepting)
    .use(apiDocument())
    .use(context.routes);
  if (context.internal !== undefined) app.use(context.internal);
  return startProcess(runtime, {
    contexts: [context],
    sockets: context.sockets ?? [],
    fetch: app.compile().fetch,
    accept: (open) => {
      accepting = open;
    },
  });
}
