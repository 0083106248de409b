import { headers } from '@contracts/common.ts';
import { problem } from '../problems.ts';
import { edgeOnlyHeaders, type FetchRequest, type Handler, type RequestInfo } from './edge-request.ts';
import { createHotRouteHandler, type HotRoute, type HotRouteDeps } from './hot-routes.ts';
import type { SocketRoute } from './server.ts';

export interface InProcessHandlerDeps extends HotRouteDeps {
  app: (request: Request) => Response | Promise<Response>;
  /** Routes that are reached without the app in between. */
  hotRoutes: readonly HotRoute[];
  /** Paths that agree to WebSockets. */
  socketRoutes: readonly SocketRoute[];
}

type InProcess = Handler<FetchRequest, Response>;

/** The contexts of this very process, behind its edge. */
export function createInProcessHandler({
  app,
  hotRoutes,
  socketRoutes: sockets,
  ...options
}: InProcessHandlerDeps): InProcess {
  const routes = new Map(
    hotRoutes.map((route) => [
      route.path,
      { method: route.method, serve: createHotRouteHandler(route, options) },
    ]),
  );
  const socketRoutes = new Map(sockets.map((route) => [route.path, route]));
  return (request, entry) => {
    const route = routes.get(request.path);
    if (route?.method === request.method)
      return route.serve(request.native, entry.requestId, () => entry.principal);
    prepare(request.native, entry);
    const socketRoute = socketRoutes.get(request.path);
    if (socketRoute !== undefined && request.isHandshake)
      return socketRoute.accept(request.native, request.peers);
    return app(request.native);
  };
}

/** The request without what only the edge may say. */
export function stripEdgeOnlyHeaders(request: Request): Request {
  for (const name of edgeOnlyHeaders) request.headers.delete(name);
  return request;
}

/** Takes off what only the edge may say, and says what it knows where a route reads it. */
function prepare(request: Request, entry: RequestInfo): void {
  const { headers: given } = request;
  // Two that were sent come joined. Whoever reads us behind another may have believed the other one.
  if (given.get('host')?.includes(',')) throw problem('request.invalid', { detail: 'one host' });
  const isOpen = entry.principal === undefined;
  const known = isOpen
    ? { address: entry.clientAddress(), host: entry.clientHost(), proto: entry.clientProtocol() }
    : undefined;
  stripEdgeOnlyHeaders(request);
  given.set(headers.requestId, entry.requestId);
  given.set(headers.deadline, String(entry.dueMs));
  // Where a token says who asks, no route reads from where.
  if (known === undefined) return;
  given.set('x-forwarded-for', known.address);
  given.set('x-forwarded-proto', known.proto);
  if (known.host !== undefined) given.set('x-forwarded-host', known.host);
}
