import { bearerToken } from '@platform/auth/guard.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import type { EdgeRequest, ResponseAdapter } from '@platform/http/edge-request.ts';
import { toProblem } from '@platform/http/problem.ts';
import { problem } from '@platform/problems.ts';
import type { EdgeHandler } from '../ports.ts';

/** Allows `/metrics` only to callers on this machine and to operators. Other operational routes stay public. */
export function restrictMetrics<Incoming extends EdgeRequest, Outgoing>(
  verifier: Verifier,
  responses: ResponseAdapter<Outgoing>,
  next: EdgeHandler<Incoming, Outgoing>,
): EdgeHandler<Incoming, Outgoing> {
  return async (request) => {
    if (request.path !== '/metrics' || isLoopback(request.peerAddress)) return next(request);
    try {
      const principal = await verifier.verify(bearerToken(request.header('authorization')));
      if (principal.role !== 'ops') throw problem('auth.role_forbidden');
      return await next(request);
    } catch (error) {
      return responses.problem(toProblem(error), undefined);
    }
  };
}

const isLoopback = (address: string) =>
  address === '::1' || address.replace('::ffff:', '').startsWith('127.');
