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
 * A route that most of all requests go to. It is found and its `handle` called without the framework in
 * between; the context's Elysia plugin mounts the same `handle`, which documents it and answers whatever
 * does not come in by the short way.
 */
export interface HotRoute<Body extends TSchema = TSchema> {
  method: ServerRoute['method'];
  path: string;
  role: Role;
  body: Body;
  /** Calls the use case, answers. Throws faults. */
  handle(body: Static<Body>, person: Principal): Promise<Response>;
}

export interface HotRouteDeps {
  lifecycle: RequestLifecycle;
  clock: Clock;
  /** A line for each request; else there is none of those that went well: they would be nine of ten lines. */
  accessLog: boolean;
}

/** Answers a request to a hot route; `person` says who asks, or throws. */
export type HotRouteHandler = (
  request: Request,
  requestId: string,
  person: () => Principal | undefined | Promise<Principal>,
) => Promise<Response>;

const noContent = 204;

/** The short way to a hot route, with all that every request of a service gets. */
export function createHotRouteHandler(
  route: HotRoute,
  { lifecycle, clock, accessLog }: HotRouteDeps,
): HotRouteHandler {
  const check = TypeCompiler.Compile(route.body);
  const observeSuccess = lifecycle.observer(route.path, noContent);

  return async (request, requestId, personOf) => {
    const startedMs = clock.nowMs();
    let response: Response;
    try {
      const found = personOf();
      const person = found instanceof Promise ? await found : found;
      lifecycle.checkHead(request);
      if (person?.role !== route.role) throw problem('auth.role_forbidden');
      response = await route.handle(await readBody(request, check), person);
      response.headers.set(headers.requestId, requestId);
    } catch (error) {
      response = lifecycle.failed(error, request, requestId);
    }
    const durationMs = clock.nowMs() - startedMs;
    if (response.status === noContent) observeSuccess(durationMs);
    else lifecycle.observe(route.path, response.status, durationMs);
    if (accessLog) lifecycle.tell(request, requestId, response.status, durationMs);
    return response;
  };
}

/** A hot route of a service behind the edge, whose server finds it: the token is verified again, the request id believed. */
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
