import { type Problem, problem } from '@platform/problems.ts';
import type { DeclaredRoute } from './route-table.ts';
import { createRouteTable } from './route-table.ts';
import { type PublicRoute, pathShapeOf, publicRouteOf } from './routes.ts';

/** What the edge does with a request, by its method and path alone. */
export type RouteMatch =
  | { kind: 'public'; route: PublicRoute }
  /** A route of the edge's own process that watches over it: health and metrics. */
  | { kind: 'operation' }
  /** All others of its own: the documents of the API and their page. */
  | { kind: 'document' }
  | { kind: 'options'; methods: readonly string[] }
  | { kind: 'refused'; fault: Problem };

export interface EdgeRouter {
  match(method: string, path: string): RouteMatch;
  methodsOf(path: string): readonly string[] | undefined;
}

/**
 * Other methods are answered with 501 on every path, by the edge: some servers end a connection on which one
 * comes (RFC 9110, section 9.1, says 501 for what is unknown and 405 for what the path does not have).
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

// Made once: an error's stack would cost more than the rest.
const notFound: RouteMatch = { kind: 'refused', fault: problem('request.not_found') };
const methodUnknown: RouteMatch = { kind: 'refused', fault: problem('request.method_unknown') };
const operation: RouteMatch = { kind: 'operation' };
const document: RouteMatch = { kind: 'document' };
const operationPaths: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

// Of one method, by shape: paths that do not exist fill it, and then it is emptied.
const knownMatchesMax = 500;

/** Finds what a request is for among the routes that the contexts and the process itself declare. */
export function createEdgeRouter(declared: readonly DeclaredRoute[]): EdgeRouter {
  const table = createRouteTable(declared);
  const knownByMethod = new Map<string, Map<string, RouteMatch>>(
    [...knownMethods].map((method) => [method, new Map()]),
  );

  return {
    methodsOf: table.methodsOf,
    match(method, path) {
      const known = knownByMethod.get(method);
      if (known === undefined) return methodUnknown;
      const shape = pathShapeOf(path);
      const before = known.get(shape);
      if (before !== undefined) return before;
      const found = find(method, path);
      if (found === notFound) return found;
      if (known.size >= knownMatchesMax) known.clear();
      known.set(shape, found);
      return found;
    },
  };

  function find(method: string, path: string): RouteMatch {
    const methods = table.methodsOf(path);
    if (methods === undefined) return notFound;
    if (method === 'OPTIONS') return { kind: 'options', methods };
    if (!methods.includes(method))
      return { kind: 'refused', fault: problem('request.method_not_allowed', { allowedMethods: methods }) };
    const route = publicRouteOf(method, path);
    if (route !== undefined) return { kind: 'public', route };
    return operationPaths.has(path) ? operation : document;
  }
}
