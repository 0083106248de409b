/** A route as a context declares it: `/v1/trips/:id`. */
export interface DeclaredRoute {
  method: string;
  path: string;
}

/** Which methods each path has. */
export interface RouteTable {
  /** In the order of the alphabet, with HEAD beside GET, and OPTIONS; undefined when no route has the path. */
  methodsOf(path: string): readonly string[] | undefined;
}

interface Node {
  methods: Set<string>;
  named: Map<string, Node>;
  parameter: Node | undefined;
}

const newNode = (): Node => ({ methods: new Set(), named: new Map(), parameter: undefined });

/** The table of the routes that are declared; a path is known by its segments, one for one. */
export function createRouteTable(declared: readonly DeclaredRoute[]): RouteTable {
  const root = newNode();
  for (const { method, path } of declared) add(root, method, segmentsOf(path.replace(/(.)\/$/, '$1')));
  return {
    methodsOf(path) {
      const found = new Set<string>();
      collect(root, segmentsOf(path), 0, found);
      if (found.size === 0) return undefined;
      if (found.has('GET')) found.add('HEAD');
      return [...found.add('OPTIONS')].sort();
    },
  };
}

const segmentsOf = (path: string): string[] => path.slice(1).split('/');

function add(root: Node, method: string, segments: readonly string[]): void {
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

/** Of all routes that the path fits: a name may stand where another route has a parameter. */
function collect(node: Node, segments: readonly string[], at: number, found: Set<string>): void {
  const segment = segments[at];
  if (segment === undefined) {
    for (const method of node.methods) found.add(method);
    return;
  }
  const named = node.named.get(segment);
  if (named !== undefined) collect(named, segments, at + 1, found);
  if (node.parameter !== undefined && segment !== '') collect(node.parameter, segments, at + 1, found);
}
