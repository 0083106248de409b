import { headers } from '@contracts/common.ts';
import type { Role } from '@contracts/people.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { bearerToken } from '../auth/guard.ts';
import type { Principal, Verifier } from '../auth/verifier.ts';
import type { Clock } from '../clock.ts';
import type { Ids } from '../ids.ts';
import { problem } from '../problems.ts';
import { readBody } from './body.ts';
import { type RequestLifecycle, readRequestId } from './request-lifecycle.ts';
import type { ServerRoute } from './server.ts';

/**
 * A route that receives most of the traffic. The server finds it and calls its `handle` without the
 * framework in between. The context's Elysia plugin mounts the same `handle`, which documents the route and
 * serves the requests that the server does not match itself.
 */
export interface HotRoute<Body extends TSchema = TSchema> {
  method: ServerRoute['method'];
  path: string;
  role: Role;
  body: Body;
  /** Calls the use case and builds the response. Throws problems. */
  handle(body: Static<Body>, principal: Principal): Promise<Response>;
}

export interface HotRouteDeps {
  lifecycle: RequestLifecycle;
  clock: Clock;
  /** Logs every request. Otherwise successful ones are not logged, since they would be nine of ten lines. */
  accessLog: boolean;
}

/** Serves a request to a hot route. `authenticate` gives the principal, or throws. */
export type HotRouteHandler = (
  request: Request,
  requestId: string,
  authenticate: () => Principal | undefined | Promise<Principal>,
) => Promise<Response>;

const noContent = 204;

/** Serves a hot route without the framework, with the lifecycle that every request of a service has. */
export function createHotRouteHandler(
  route: HotRoute,
  { lifecycle, clock, accessLog }: HotRouteDeps,
): HotRouteHandler {
  const check = TypeCompiler.Compile(route.body);
  const recordSuccess = lifecycle.durationRecorder(route.path, noContent);

  return async (request, requestId, authenticate) => {
    const startedAtMs = clock.nowMs();
    let response: Response;
    try {
      const authenticated = authenticate();
      const principal = authenticated instanceof Promise ? await authenticated : authenticated;
      lifecycle.checkHead(request);
      if (principal?.role !== route.role) throw problem('auth.role_forbidden');
      response = await route.handle(await readBody(request, check), principal);
      response.headers.set(headers.requestId, requestId);
    } catch (error) {
      response = lifecycle.respondToError(error, request, requestId);
    }
    const durationMs = clock.nowMs() - startedAtMs;
    if (response.status === noContent) recordSuccess(durationMs);
    else lifecycle.recordDuration(route.path, response.status, durationMs);
    if (accessLog) lifecycle.logRequest(request, requestId, response.status, durationMs);
    return response;
  };
}

/**
 * A hot route for the server of a service behind the edge. The token is verified again; the request id of
 * the edge is trusted.
 */
export function createHotServerRoute(
  route: HotRoute,
  { verifier, ids, ...options }: HotRouteDeps & { verifier: Pick<Verifier, 'verify'>; ids: Ids },
): ServerRoute {
  const serve = createHotRouteHandler(route, options);
  return {
    method: route.method,
    path: route.path,
    fetch: (request) =>
      serve(request, readRequestId(request) ?? ids<string>(), () =>
        verifier.verify(bearerToken(request.headers.get('authorization'))),
      ),
  };
}
