import { Role } from '@contracts/people.ts';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { AnyElysia } from 'elysia';

/** The roles that may call a route. An empty list means everybody. */
export interface RouteAccess {
  method: string;
  path: string;
  roles: readonly (Role | 'service')[];
}

const Detail = Type.Object({ 'x-roles': Type.Array(Type.Union([Role, Type.Literal('service')])) });

/** The detail of a public route that is not in the API document, such as health checks and pages. */
export const publicUndocumented = { hide: true, 'x-roles': [] } satisfies Static<typeof Detail> & {
  hide: boolean;
};

/**
 * Lists the routes of an app with their roles. Throws when a route does not declare any, so that a process with an
 * undecided route does not start.
 */
export function readRouteAccess(app: AnyElysia): RouteAccess[] {
  return app.routes.map(({ method, path, hooks }) => {
    const detail: unknown = hooks?.detail;
    if (Value.Check(Detail, detail)) return { method, path, roles: detail['x-roles'] };
    throw new Error(`${method} ${path} declares no access: give it a role, open or service`);
  });
}
