import type { EdgePolicy } from '@platform/http/edge-policy.ts';

/** The contexts behind the edge. Their services have the same names. */
export const contextNames = ['user', 'driver', 'trip', 'payment', 'notification'] as const;
export type ContextName = (typeof contextNames)[number];

/** What the edge knows of a public route. */
export interface PublicRoute extends EdgePolicy {
  /** The context that serves it. */
  owner: ContextName;
  requiresToken: boolean;
}

/** A route whose requests the edge admits. Without an owner it belongs to the edge's own process. */
export type AdmittedRoute = Omit<PublicRoute, 'owner'> & { owner: ContextName | undefined };

/** A route as it is declared, with a path such as `/v1/trips/:id`. */
export interface DeclaredRoute {
  method: string;
  path: string;
  /** Undefined for a route of the edge's own process. */
  publicRoute?: PublicRoute;
}
