import { splitList } from '@platform/config.ts';
import type { EdgeRequest, ResponseAdapter } from '@platform/http/edge-request.ts';
import { gatewayProblem } from '../errors.ts';
import type { EdgeHandler } from '../ports.ts';

/**
 * Rejects requests whose Host is not in `allowed`, a list separated by commas; `*` allows any. So DNS rebinding
 * does not work, and no response is ever built from a foreign host name. Health probes use the address
 * of the process and are always accepted.
 */
export function rejectUnknownHosts<Incoming extends EdgeRequest, Outgoing>(
  allowed: string,
  responses: Pick<ResponseAdapter<Outgoing>, 'problem'>,
  next: EdgeHandler<Incoming, Outgoing>,
): EdgeHandler<Incoming, Outgoing> {
  const names = new Set(splitList(allowed.toLowerCase()));
  if (names.has('*')) return next;
  return (request) =>
    probes.has(request.path) || names.has(hostNameOf(request.header('host') ?? ''))
      ? next(request)
      : responses.problem(gatewayProblem('host.unknown'), undefined);
}

const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

/** The host without its port, which a proxy in front may have changed. */
const hostNameOf = (host: string): string => host.toLowerCase().replace(/:\d*$/, '');
