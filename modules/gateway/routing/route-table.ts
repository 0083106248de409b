import type { DeclaredRoute } from './public-route.ts';

/** The routes of one path. */
export interface PathRoutes {
  /** In alphabetical order, with OPTIONS, and with HEAD where there is GET. */
  methods: readonly string[];
  /** By method, without OPTIONS; HEAD has the route of GET. */
  routes: ReadonlyMap<string, DeclaredRoute>;
}

export interface RouteTable {
  /** Undefined when no route has the path. */
  find(path: string): PathRoutes | undefined;
}

interface Node {
  /** By method. */
  routes: Map<string, DeclaredRoute>;
  named: Map<string, Node>;
  parameter: Node | undefined;
}

const newNode = (): Node => ({ routes: new Map(), named: new Map(), parameter: undefined });

/** Builds the table of the declared routes as a tree of path segments. */
export function createRouteTable(declared: readonly DeclaredRoute[]): RouteTable {
  const root = newNode();
  for (const route of declared) addRoute(root, route);
  return {
    find(path) {
      const routes = new Map<string, DeclaredRoute>();
      collectRoutes(root, segmentsOf(path), 0, routes);
      if (routes.size === 0) return undefined;
      const getRoute = routes.get('GET');
      if (getRoute !== undefined) routes.set('HEAD', getRoute);
      return { routes, methods: [...routes.keys(), 'OPTIONS'].sort() };
    },
  };
}

const segmentsOf = (path: string): string[] => path.slice(1).split('/');

function addRoute(root: Node, route: DeclaredRoute): void {
  let node = root;
  for (const segment of segmentsOf(route.path.replace(/(.)\/$/, '$1'))) {
    const isParameter = segment.startsWith(':');
    const next = (isParameter ? node.parameter : node.named.get(segment)) ?? newNode();
    if (isParameter) node.parameter = next;
    else node.named.set(segment, next);
    node = next;
  }
  node.routes.set(route.method, route);
}

/**
 * Collects all routes that match the path. One segment can match both a name and a parameter; of two routes with the
 * same method the one with the name wins.
 */
function collectRoutes(
  node: Node,
  segments: readonly string[],
  index: number,
  routes: Map<string, DeclaredRoute>,
): void {
  const segment = segments[index];
  if (segment === undefined) {
    for (const [method, route] of node.routes) if (!routes.has(method)) routes.set(method, route);
    return;
  }
  const named = node.named.get(segment);
  if (named !== undefined) collectRoutes(named, segments, index + 1, routes);
  if (node.parameter !== undefined && segment !== '')
    collectRoutes(node.parameter, segments, index + 1, routes);
}
