import { type Problem, problem } from '@platform/problems.ts';
import { pathShapeOf } from './path-shape.ts';
import type { DeclaredRoute, PublicRoute } from './public-route.ts';
import { createRouteTable } from './route-table.ts';

/** What the edge does with a request, by its method and path alone. */
export type RouteMatch =
  | { kind: 'public'; route: PublicRoute }
  /** Health or metrics of the edge's own process. */
  | { kind: 'operation' }
  /** Any other route of its own: the API documents and their page. */
  | { kind: 'document' }
  | { kind: 'options'; methods: readonly string[] }
  | { kind: 'rejected'; problem: Problem };

export interface EdgeRouter {
  match(method: string, path: string): RouteMatch;
  methodsOf(path: string): readonly string[] | undefined;
}

/**
 * Other methods get 501 from the edge on every path, because some servers close the connection on an unknown
 * method. RFC 9110, section 9.1, requires 501 for an unknown method and 405 for one that the path does not have.
 */
const knownMethods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
]);

// Created once, because the stack of an error would cost more than the rest.
const notFound: RouteMatch = { kind: 'rejected', problem: problem('request.not_found') };
const methodUnknown: RouteMatch = { kind: 'rejected', problem: problem('request.method_unknown') };
const operation: RouteMatch = { kind: 'operation' };
const document: RouteMatch = { kind: 'document' };
const operationPaths: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

// A limit for each method. Paths without a route can fill the cache, and then it is cleared.
const cachedMatchesMax = 500;

/** Matches requests with the routes that the contexts and the process itself declare. */
export function createEdgeRouter(declared: readonly DeclaredRoute[]): EdgeRouter {
  const table = createRouteTable(declared);
  const cacheByMethod = new Map<string, Map<string, RouteMatch>>(
    [...knownMethods].map((method) => [method, new Map()]),
  );

  return {
    methodsOf: (path) => table.find(path)?.methods,
    match(method, path) {
      const cache = cacheByMethod.get(method);
      if (cache === undefined) return methodUnknown;
      const shape = pathShapeOf(path);
      const cached = cache.get(shape);
      if (cached !== undefined) return cached;
      const match = findMatch(method, path);
      if (match === notFound) return match;
      if (cache.size >= cachedMatchesMax) cache.clear();
      cache.set(shape, match);
      return match;
    },
  };

  function findMatch(method: string, path: string): RouteMatch {
    const pathRoutes = table.find(path);
    if (pathRoutes === undefined) return notFound;
    const { methods, routes } = pathRoutes;
    if (method === 'OPTIONS') return { kind: 'options', methods };
    const declaredRoute = routes.get(method);
    if (declaredRoute === undefined)
      return {
        kind: 'rejected',
        problem: problem('request.method_not_allowed', { allowedMethods: methods }),
      };
    const { publicRoute } = declaredRoute;
    if (publicRoute !== undefined) return { kind: 'public', route: publicRoute };
    return operationPaths.has(path) ? operation : document;
  }
}
