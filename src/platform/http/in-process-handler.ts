import { headers } from '@contracts/common.ts';
import { problem } from '../problems.ts';
import { edgeOnlyHeaders, type FetchRequest, type Handler, type RequestInfo } from './edge-request.ts';
import { createHotRouteHandler, type HotRoute, type HotRouteDeps } from './hot-routes.ts';
import type { SocketRoute } from './server.ts';

export interface InProcessHandlerDeps extends HotRouteDeps {
  app: (request: Request) => Response | Promise<Response>;
  /** Routes that are served without the app in between. */
  hotRoutes: readonly HotRoute[];
  /** Paths that accept WebSockets. */
  socketRoutes: readonly SocketRoute[];
}

type InProcessHandler = Handler<FetchRequest, Response>;

/** Handles admitted requests with the contexts of this process. */
export function createInProcessHandler({
  app,
  hotRoutes,
  socketRoutes: sockets,
  ...hotRouteDeps
}: InProcessHandlerDeps): InProcessHandler {
  const hotRoutesByPath = new Map(
    hotRoutes.map((route) => [
      route.path,
      { method: route.method, serve: createHotRouteHandler(route, hotRouteDeps) },
    ]),
  );
  const socketRoutes = new Map(sockets.map((route) => [route.path, route]));
  return (request, info) => {
    const route = hotRoutesByPath.get(request.path);
    if (route?.method === request.method)
      return route.serve(request.native, info.requestId, () => info.principal);
    replaceEdgeOnlyHeaders(request.native, info);
    const socketRoute = socketRoutes.get(request.path);
    if (socketRoute !== undefined && request.isHandshake)
      return socketRoute.accept(request.native, request.peers);
    return app(request.native);
  };
}

/** Removes the headers that only the edge may set. */
export function stripEdgeOnlyHeaders(request: Request): Request {
  for (const name of edgeOnlyHeaders) request.headers.delete(name);
  return request;
}

/** Removes what clients sent in edge-only headers, and sets them to what the edge knows. */
function replaceEdgeOnlyHeaders(request: Request, info: RequestInfo): void {
  const { headers: requestHeaders } = request;
  // Bun joins several Host headers. A proxy in front may have used another one of them than this server.
  if (requestHeaders.get('host')?.includes(','))
    throw problem('request.invalid', { detail: 'exactly one Host header is allowed' });
  const client =
    info.principal === undefined
      ? { address: info.clientAddress(), host: info.clientHost(), protocol: info.clientProtocol() }
      : undefined;
  stripEdgeOnlyHeaders(request);
  requestHeaders.set(headers.requestId, info.requestId);
  requestHeaders.set(headers.deadline, String(info.dueMs));
  // No route needs the client's address when a token identifies the caller.
  if (client === undefined) return;
  requestHeaders.set('x-forwarded-for', client.address);
  requestHeaders.set('x-forwarded-proto', client.protocol);
  if (client.host !== undefined) requestHeaders.set('x-forwarded-host', client.host);
}
