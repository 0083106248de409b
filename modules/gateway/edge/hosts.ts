import { splitList } from '@platform/config.ts';
import type { EdgeRequest, ResponseAdapter } from '@platform/http/edge-request.ts';
import { fault } from '../errors.ts';
import type { EdgeHandler } from './edge.ts';

/**
 * Refuses requests to a name that is not ours (`allowed`, separated by commas; `*` is any): a page that
 * points its own name at us finds nobody, and no answer is ever built from a foreign name. The edge's own
 * probes come by address and are always let in.
 */
export function guardHosts<Asked extends EdgeRequest, Answer>(
  allowed: string,
  dialect: Pick<ResponseAdapter<Answer>, 'problem'>,
  next: EdgeHandler<Asked, Answer>,
): EdgeHandler<Asked, Answer> {
  const names = new Set(splitList(allowed.toLowerCase()));
  if (names.has('*')) return next;
  return (request) =>
    probes.has(request.path) || names.has(nameOf(request.header('host') ?? ''))
      ? next(request)
      : dialect.problem(fault('host.unknown'), undefined);
}

const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

/** Without the port, which a proxy in front may have changed. */
const nameOf = (host: string): string => host.toLowerCase().replace(/:\d*$/, '');
