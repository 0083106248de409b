import { headers } from '@contracts/common.ts';
import { fault } from '../faults.ts';
import type { Behind, Entry, FetchRequest } from './entry.ts';
import { createServeHot, type HotOptions, type HotRoute } from './hot.ts';

export interface InProcessOptions extends HotOptions {
  app: (request: Request) => Response | Promise<Response>;
  /** Routes that are reached without the app in between. */
  hot: readonly HotRoute[];
}

type InProcess = Behind<FetchRequest, Response>;

/** The contexts of this very process, behind its edge. */
export function createInProcess({ app, hot, ...options }: InProcessOptions): InProcess {
  const routes = new Map(
    hot.map((route) => [route.path, { method: route.method, serve: createServeHot(route, options) }]),
  );
  return (request, entry) => {
    const route = routes.get(request.path);
    if (route?.method === request.method)
      return route.serve(request.native, entry.requestId, () => entry.person);
    prepare(request.native, entry);
    return app(request.native);
  };
}

/** Headers that only the edge may set are taken off; what it knows is put in. */
function prepare(request: Request, { requestId, address, person }: Entry): void {
  // Two that were sent come joined. Whoever reads us behind another may have believed the other one.
  if (request.headers.get('host')?.includes(',')) throw fault('request.invalid', { detail: 'one host' });
  request.headers.delete(headers.serviceToken);
  request.headers.delete('forwarded');
  request.headers.set(headers.requestId, requestId);
  // Where a token says who asks, nobody behind us asks from where.
  if (person === undefined) request.headers.set('x-forwarded-for', address());
  else request.headers.delete('x-forwarded-for');
}
