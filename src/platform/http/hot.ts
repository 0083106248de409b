import { headers } from '@contracts/common.ts';
import type { Role } from '@contracts/people.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { bearerToken } from '../auth/guard.ts';
import type { Principal, Verifier } from '../auth/verifier.ts';
import type { Clock } from '../clock.ts';
import { fault } from '../faults.ts';
import type { Ids } from '../ids.ts';
import { readBody } from './body.ts';
import { type Requests, readRequestId } from './requests.ts';
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

export interface HotOptions {
  requests: Requests;
  clock: Clock;
  /** A line for each request; else there is none of those that went well: they would be nine of ten lines. */
  accessLog: boolean;
}

/** Answers a request to a hot route; `person` says who asks, or throws. */
export type ServeHot = (
  request: Request,
  requestId: string,
  person: () => Principal | undefined | Promise<Principal>,
) => Promise<Response>;

const noContent = 204;

/** The short way to a hot route, with all that every request of a service gets. */
export function createServeHot(route: HotRoute, { requests, clock, accessLog }: HotOptions): ServeHot {
  const check = TypeCompiler.Compile(route.body);
  const observeSuccess = requests.observer(route.path, noContent);

  return async (request, requestId, personOf) => {
    const startedMs = clock.nowMs();
    let response: Response;
    try {
      const found = personOf();
      const person = found instanceof Promise ? await found : found;
      requests.checkHead(request);
      if (person?.role !== route.role) throw fault('auth.role_forbidden');
      response = await route.handle(await readBody(request, check), person);
      response.headers.set(headers.requestId, requestId);
    } catch (error) {
      response = requests.failed(error, request, requestId);
    }
    const durationMs = clock.nowMs() - startedMs;
    if (response.status === noContent) observeSuccess(durationMs);
    else requests.observe(route.path, response.status, durationMs);
    if (accessLog) requests.tell(request, requestId, response.status, durationMs);
    return response;
  };
}

/** A hot route of a service behind the edge, whose server finds it: the token is verified again, the request id believed. */
export function hotServerRoute(
  route: HotRoute,
  { verifier, ids, ...options }: HotOptions & { verifier: Pick<Verifier, 'verify'>; ids: Ids },
): ServerRoute {
  const serve = createServeHot(route, options);
  return {
    method: route.method,
    path: route.path,
    fetch: (request) =>
      serve(request, readRequestId(request) ?? ids<string>(), () =>
        verifier.verify(bearerToken(request.headers.get('authorization'))),
      ),
  };
}
