import { itemsOf } from '@platform/config.ts';
import type { Dialect, EdgeRequest } from '@platform/http/entry.ts';
import type { Answers } from './edge.ts';
import { fault } from './errors.ts';

/**
 * Refuses requests to a name that is not ours (`allowed`, separated by commas; `*` is any): a page that
 * points its own name at us finds nobody, and no answer is ever built from a foreign name. The edge's own
 * probes come by address and are always let in.
 */
export function guardHosts<Asked extends EdgeRequest, Answer>(
  allowed: string,
  dialect: Pick<Dialect<Answer>, 'problem'>,
  next: Answers<Asked, Answer>,
): Answers<Asked, Answer> {
  const names = new Set(itemsOf(allowed.toLowerCase()));
  if (names.has('*')) return next;
  return (request) =>
    probes.has(request.path) || names.has(nameOf(request.header('host') ?? ''))
      ? next(request)
      : dialect.problem(fault('host.unknown'), undefined);
}

const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

/** Without the port, which a proxy in front may have changed. */
const nameOf = (host: string): string => host.toLowerCase().replace(/:\d*$/, '');
