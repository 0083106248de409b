import type { EdgeRequest, ResponseAdapter } from '@platform/http/edge-request.ts';
import type { EdgeDeps } from './edge/deps.ts';
import { createEdge, type Edge } from './edge/edge.ts';
import { rejectUnknownHosts } from './edge/hosts.ts';
import { restrictMetrics } from './edge/metrics-access.ts';
import type { EdgeHandler, EdgeNext } from './ports.ts';
import type { DeclaredRoute } from './routing/public-route.ts';
import { createEdgeRouter } from './routing/router.ts';

export interface GatewayContextDeps<Incoming, Outgoing> extends Omit<EdgeDeps, 'router'> {
  /** All routes that clients may call: those of the contexts, and those of the process itself. */
  routes: readonly DeclaredRoute[];
  /** Builds the responses of the server in front. */
  responses: ResponseAdapter<Outgoing>;
  /** Handles admitted requests to the contexts. */
  next: EdgeNext<Incoming, Outgoing>;
  /** Handles requests to the routes of the process itself: health, metrics and the API documents. */
  operations: EdgeHandler<Incoming, Outgoing>;
}

/**
 * Assembles the edge. It is the same in front of the contexts themselves (one process) and in front of the proxy
 * to them (fleet): only the server, `next` and `operations` differ.
 */
export function createGatewayContext<Incoming extends EdgeRequest, Outgoing>({
  routes,
  responses,
  next,
  operations,
  ...deps
}: GatewayContextDeps<Incoming, Outgoing>): Edge<Incoming, Outgoing> {
  const edge = createEdge(
    { ...deps, router: createEdgeRouter(routes) },
    responses,
    next,
    restrictMetrics(deps.verifier, responses, operations),
  );
  return { ...edge, handle: rejectUnknownHosts(deps.settings.ALLOWED_HOSTS, responses, edge.handle) };
}
