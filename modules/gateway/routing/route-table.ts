/** A route as a context declares it: `/v1/trips/:id`. */
export interface DeclaredRoute {
  method: string;
  path: string;
}

/** Knows the methods of each path. */
export interface RouteTable {
  /** In alphabetical order, with OPTIONS, and with HEAD where there is GET. Undefined when no route has the path. */
  methodsOf(path: string): readonly string[] | undefined;
}

interface Node {
  methods: Set<string>;
  named: Map<string, Node>;
  parameter: Node | undefined;
}

const newNode = (): Node => ({ methods: new Set(), named: new Map(), parameter: undefined });

/** Builds the table of the declared routes as a tree of path segments. */
export function createRouteTable(declared: readonly DeclaredRoute[]): RouteTable {
  const root = newNode();
  for (const { method, path } of declared) addRoute(root, method, segmentsOf(path.replace(/(.)\/$/, '$1')));
  return {
    methodsOf(path) {
      const methods = new Set<string>();
      collectMethods(root, segmentsOf(path), 0, methods);
      if (methods.size === 0) return undefined;
      if (methods.has('GET')) methods.add('HEAD');
      return [...methods.add('OPTIONS')].sort();
    },
  };
}

const segmentsOf = (path: string): string[] => path.slice(1).split('/');

function addRoute(root: Node, method: string, segments: readonly string[]): void {
  let node = root;
  for (const segment of segments) {
    const isParameter = segment.startsWith(':');
    const next = (isParameter ? node.parameter : node.named.get(segment)) ?? newNode();
    if (isParameter) node.parameter = next;
    else node.named.set(segment, next);
    node = next;
  }
  node.methods.add(method);
}

/** Collects the methods of all routes that match the path. One segment can match both a name and a parameter. */
function collectMethods(node: Node, segments: readonly string[], index: number, methods: Set<string>): void {
  const segment = segments[index];
  if (segment === undefined) {
    for (const method of node.methods) methods.add(method);
    return;
  }
  const named = node.named.get(segment);
  if (named !== undefined) collectMethods(named, segments, index + 1, methods);
  if (node.parameter !== undefined && segment !== '')
    collectMethods(node.parameter, segments, index + 1, methods);
}
