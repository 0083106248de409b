import { headers } from '@contracts/common.ts';
import { fault } from '../faults.ts';
import { type Behind, type Entry, edgeOnlyHeaders, type FetchRequest } from './entry.ts';
import { createServeHot, type HotOptions, type HotRoute } from './hot.ts';
import type { SocketRoute } from './server.ts';

export interface InProcessOptions extends HotOptions {
  app: (request: Request) => Response | Promise<Response>;
  /** Routes that are reached without the app in between. */
  hot: readonly HotRoute[];
  /** Paths that agree to WebSockets. */
  sockets: readonly SocketRoute[];
}

type InProcess = Behind<FetchRequest, Response>;

/** The contexts of this very process, behind its edge. */
export function createInProcess({ app, hot, sockets, ...options }: InProcessOptions): InProcess {
  const routes = new Map(
    hot.map((route) => [route.path, { method: route.method, serve: createServeHot(route, options) }]),
  );
  const socketRoutes = new Map(sockets.map((route) => [route.path, route]));
  return (request, entry) => {
    const route = routes.get(request.path);
    if (route?.method === request.method)
      return route.serve(request.native, entry.requestId, () => entry.person);
    prepare(request.native, entry);
    const socketRoute = socketRoutes.get(request.path);
    if (socketRoute !== undefined && request.isHandshake)
      return socketRoute.accept(request.native, request.peers);
    return app(request.native);
  };
}

/** The request without what only the edge may say. */
export function withoutEdgeHeaders(request: Request): Request {
  for (const name of edgeOnlyHeaders) request.headers.delete(name);
  return request;
}

/** Takes off what only the edge may say, and says what it knows where a route reads it. */
function prepare(request: Request, entry: Entry): void {
  const { headers: given } = request;
  // Two that were sent come joined. Whoever reads us behind another may have believed the other one.
  if (given.get('host')?.includes(',')) throw fault('request.invalid', { detail: 'one host' });
  const isOpen = entry.person === undefined;
  const known = isOpen ? { address: entry.address(), host: entry.host(), proto: entry.proto() } : undefined;
  withoutEdgeHeaders(request);
  given.set(headers.requestId, entry.requestId);
  given.set(headers.deadline, String(entry.dueMs));
  // Where a token says who asks, no route reads from where.
  if (known === undefined) return;
  given.set('x-forwarded-for', known.address);
  given.set('x-forwarded-proto', known.proto);
  if (known.host !== undefined) given.set('x-forwarded-host', known.host);
}
