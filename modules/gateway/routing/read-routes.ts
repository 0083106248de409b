import { type EdgePolicy, PublicRouteDetail } from '@platform/http/edge-policy.ts';
import { Value } from '@sinclair/typebox/value';
import type { ContextName, DeclaredRoute } from './public-route.ts';

interface AppRoutes {
  routes: readonly { method: string; path: string; hooks?: { detail?: unknown } }[];
}

/** Reads the routes of the edge's own process: health, metrics and the API documents. */
export const readProcessRoutes = (app: AppRoutes): DeclaredRoute[] =>
  app.routes.map(({ method, path }) => ({ method, path }));

/**
 * Reads the public routes of a context with what they declare for the edge. Throws when a route declares no policy
 * or no access, so that no process starts with a route that lacks a decision.
 */
export function readPublicRoutes(owner: ContextName, app: AppRoutes): DeclaredRoute[] {
  return app.routes.map(({ method, path, hooks }) => {
    const detail: unknown = hooks?.detail;
    if (!Value.Check(PublicRouteDetail, detail))
      throw new Error(
        `${method} ${path} declares no edge policy or no access: give it edgePolicy in its detail, and a role or open`,
      );
    // The schema is built from the same constants as the type, but TypeBox can't infer a union of mapped literals.
    const policy = detail['x-edge'] as EdgePolicy;
    return { method, path, publicRoute: { owner, ...policy, requiresToken: detail['x-roles'].length > 0 } };
  });
}
