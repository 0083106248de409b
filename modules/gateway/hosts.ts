import { problemResponse } from '@platform/http/problem.ts';
import type { Fetch } from '@platform/http/server.ts';
import { fault } from './errors.ts';

/**
 * Refuses requests to a name that is not ours (`allowed`, separated by commas; `*` is any): a page that
 * points its own name at us finds nobody, and no answer is ever built from a foreign name. The edge's own
 * probes come by address and are always let in.
 */
export function guardHosts(allowed: string, next: Fetch): Fetch {
  const names = new Set(allowed.split(',').map((name) => name.trim().toLowerCase()));
  if (names.has('*')) return next;
  return (request, peers) => {
    const { pathname } = new URL(request.url);
    if (probes.has(pathname) || names.has(nameOf(request.headers.get('host') ?? '')))
      return next(request, peers);
    return problemResponse(fault('host.unknown'), undefined);
  };
}

const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

/** Without the port, which a proxy in front may have changed. */
const nameOf = (host: string): string => host.toLowerCase().replace(/:\d*$/, '');
