import { headers } from '@contracts/common.ts';
import type { Role } from '@contracts/people.ts';
import { bearerToken } from '../auth/guard.ts';
import type { Principal, Verifier } from '../auth/verifier.ts';
import type { Clock } from '../clock.ts';
import { fault } from '../faults.ts';
import type { Ids } from '../ids.ts';
import { type Requests, readRequestId } from './requests.ts';
import type { Peers, ServerRoute } from './server.ts';

/**
 * A route that most of all requests go to. The server finds it by itself and calls `handle` without the
 * framework in between; the context's Elysia plugin mounts the same `handle`, which documents it and
 * answers whatever does not come in by the short way.
 */
export interface HotRoute {
  method: ServerRoute['method'];
  path: string;
  role: Role;
  /** Reads the body, calls the use case, answers. Throws faults. */
  handle(request: Request, person: Principal): Promise<Response>;
}

/** Who may come in by the door of this process. */
export interface Admitted {
  person: Principal;
  requestId: string;
  /** Puts on the answer what the door has to say. */
  tell(response: Response): void;
}

/** Lets a request in, or answers it at the door: at once where nobody has to be asked. Throws faults. */
export type Admit = (request: Request, peers: Peers) => Admitted | Response | Promise<Admitted | Response>;

/** The door of a service behind the edge: it verifies the token again, and believes the edge's request id. */
export function admitPeople(verifier: Verifier, ids: Ids): Admit {
  return async (request) => {
    const person = await verifier.verify(bearerToken(request));
    return { person, requestId: readRequestId(request) ?? ids(), tell: () => undefined };
  };
}

export interface HotOptions {
  requests: Requests;
  admit: Admit;
  clock: Clock;
  /** A line for each request; else there is none of those that went well: they would be nine of ten lines. */
  accessLog: boolean;
}

const noContent = 204;

/** The short way to a hot route, with all that every request of a service gets. */
export function serveHot(route: HotRoute, { requests, admit, clock, accessLog }: HotOptions): ServerRoute {
  const observeSuccess = requests.observer(route.path, noContent);

  async function run(request: Request, { person }: Admitted): Promise<Response> {
    requests.checkHead(request);
    if (person.role !== route.role) throw fault('auth.role_forbidden');
    return route.handle(request, person);
  }

  return {
    method: route.method,
    path: route.path,
    async fetch(request, peers) {
      const startedMs = clock.nowMs();
      let admitted: Admitted | undefined;
      let response: Response;
      try {
        const found = await admit(request, peers);
        if (found instanceof Response) return found;
        admitted = found;
        response = await run(request, admitted);
        response.headers.set(headers.requestId, admitted.requestId);
      } catch (error) {
        response = requests.failed(error, request, admitted?.requestId ?? readRequestId(request));
      }
      admitted?.tell(response);
      const durationMs = clock.nowMs() - startedMs;
      if (response.status === noContent) observeSuccess(durationMs);
      else requests.observe(route.path, response.status, durationMs);
      if (accessLog) requests.tell(request, admitted?.requestId, response.status, durationMs);
      return response;
    },
  };
}
