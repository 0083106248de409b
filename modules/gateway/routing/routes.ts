import type { Priority } from '../admission/limiter.ts';

/** The contexts behind the edge, by the name that their deployables carry. */
export const contextNames = ['user', 'driver', 'trip', 'payment', 'notification'] as const;
export type ContextName = (typeof contextNames)[number];

/** Requests that share a limit: what one class costs us and what a person needs of it are alike. */
export type LimitClass = 'auth' | 'position' | 'read' | 'write' | 'realtime' | 'document';

/** Steps of a ride under way, what is shown of it meanwhile, and all that concerns money and operators. */
const mostImportant = [
  /^\/v1\/trips\/[^/]+\/(accept|decline|arrive|start|complete|cancel)$/,
  /^\/v1\/trips\/[^/]+(\/receipt)?$/,
  /^\/v1\/payments\//,
  /^\/v1\/realtime/,
  /^\/v1\/ops\//,
  /^\/\.well-known\//,
];

/** What the request is worth when not all can be served. */
export function priorityOf(path: string, limitClass: LimitClass): Priority {
  if (limitClass === 'position') return 3;
  if (mostImportant.some((pattern) => pattern.test(path))) return 1;
  return limitClass === 'auth' || limitClass === 'write' || path === '/v1/users/me' ? 2 : 4;
}

/** Public paths by their beginning, and who answers them. The first that fits wins; what fits none is 404. */
const owners: readonly (readonly [pattern: RegExp, context: ContextName])[] = [
  [/^\/v1\/auth\//, 'user'],
  [/^\/\.well-known\/jwks\.json$/, 'user'],
  [/^\/v1\/users\//, 'user'],
  [/^\/v1\/drivers\/me\/earnings$/, 'payment'],
  [/^\/v1\/drivers\//, 'driver'],
  [/^\/v1\/quotes$/, 'payment'],
  [/^\/v1\/trips\/[^/]+\/receipt$/, 'payment'],
  [/^\/v1\/trips(\/|$)/, 'trip'],
  [/^\/v1\/payment-methods$/, 'payment'],
  [/^\/v1\/payments(\/|$)/, 'payment'],
  [/^\/v1\/realtime(\/|$)/, 'notification'],
  [/^\/v1\/ops\/(people|signing-keys)(\/|$)/, 'user'],
  [/^\/v1\/ops\/trips(\/|$)/, 'trip'],
  [/^\/v1\/ops\/dead-letters\/driver(\/|$)/, 'driver'],
  [/^\/v1\/ops\/dead-letters\/trip(\/|$)/, 'trip'],
  [/^\/v1\/ops\/dead-letters\/payment(\/|$)/, 'payment'],
  [/^\/v1\/ops\/dead-letters\/notification(\/|$)/, 'notification'],
];

export function ownerOf(path: string): ContextName | undefined {
  return owners.find(([pattern]) => pattern.test(path))?.[1];
}

/** The only public paths that need no token. The realtime socket proves itself by its ticket instead. */
const open = [/^\/v1\/auth\//, /^\/\.well-known\/jwks\.json$/, /^\/v1\/realtime$/];
export const requiresToken = (path: string): boolean => !open.some((pattern) => pattern.test(path));

export function limitClassOf(method: string, path: string): LimitClass {
  if (path.startsWith('/v1/auth/')) return 'auth';
  if (path === '/v1/drivers/me/location' || path === '/v1/drivers/me/locations') return 'position';
  if (path.startsWith('/v1/realtime')) return 'realtime';
  return method === 'GET' || method === 'HEAD' ? 'read' : 'write';
}

/** POSTs that answer a repeated Idempotency-Key with what they answered first. */
const keyed = [
  /^\/v1\/quotes$/,
  /^\/v1\/trips$/,
  /^\/v1\/payment-methods$/,
  /^\/v1\/payments\/[^/]+\/(refunds|pay)$/,
];

/**
 * Whether a request may be sent again when nobody knows what became of it: what RFC 9110 §9.2.2 calls
 * idempotent, and a POST with an Idempotency-Key to a route that keeps keys.
 */
export type Repeatability = 'always' | 'with_key' | 'never';

export function repeatabilityOf(method: string, path: string): Repeatability {
  if (method === 'POST') return keyed.some((pattern) => pattern.test(path)) ? 'with_key' : 'never';
  return idempotent.has(method) ? 'always' : 'never';
}

const idempotent: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);

/** What the edge wants to know of a route. */
export interface PublicRoute {
  owner: ContextName;
  limitClass: LimitClass;
  priority: Priority;
  requiresToken: boolean;
  repeatability: Repeatability;
}

/** A route whose requests the edge admits: of a context, or of the edge's own process when it has no owner. */
export type AdmittedRoute = Omit<PublicRoute, 'owner'> & { owner: ContextName | undefined };

// By method and shape, since some twenty patterns are asked for each. Junk that fills it is thrown out with the rest.
const knownRoutesMax = 500;
const knownRoutes = new Map<string, PublicRoute>();

/** Undefined when nobody owns the path. */
export function publicRouteOf(method: string, path: string): PublicRoute | undefined {
  const key = `${method} ${pathShapeOf(path)}`;
  const known = knownRoutes.get(key);
  if (known !== undefined) return known;
  const route = readRoute(method, path);
  if (route === undefined) return undefined;
  if (knownRoutes.size >= knownRoutesMax) knownRoutes.clear();
  knownRoutes.set(key, route);
  return route;
}

function readRoute(method: string, path: string): PublicRoute | undefined {
  const owner = ownerOf(path);
  if (owner === undefined) return undefined;
  const limitClass = limitClassOf(method, path);
  return {
    owner,
    limitClass,
    priority: priorityOf(path, limitClass),
    requiresToken: requiresToken(path),
    repeatability: repeatabilityOf(method, path),
  };
}

const idLength = 36;

/** The path with `*` for ids: no segment that a pattern knows by name is as long as one. */
export function pathShapeOf(path: string): string {
  if (path.length <= idLength) return path;
  let shape = '';
  let from = 0;
  for (let slash = 0; slash >= 0; ) {
    const next = path.indexOf('/', slash + 1);
    const end = next < 0 ? path.length : next;
    if (end - slash - 1 === idLength) {
      shape += `${path.slice(from, slash)}/*`;
      from = end;
    }
    slash = next;
  }
  return shape + path.slice(from);
}
