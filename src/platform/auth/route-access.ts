import { Role } from '@contracts/people.ts';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { AnyElysia } from 'elysia';

/** Who may call a route: none named means everybody. */
export interface RouteAccess {
  method: string;
  path: string;
  roles: readonly (Role | 'service')[];
}

const Detail = Type.Object({ 'x-roles': Type.Array(Type.Union([Role, Type.Literal('service')])) });

/** The detail of a route that is meant for everybody and for no document: operation, pages. */
export const publicUndocumented = { hide: true, 'x-roles': [] } satisfies Static<typeof Detail> & {
  hide: boolean;
};

/**
 * Every route of an app with who may call it. Throws when one does not say: a process does not start
 * with a route that nobody has decided about.
 */
export function readRouteAccess(app: AnyElysia): RouteAccess[] {
  return app.routes.map(({ method, path, hooks }) => {
    const detail: unknown = hooks?.detail;
    if (Value.Check(Detail, detail)) return { method, path, roles: detail['x-roles'] };
    throw new Error(`${method} ${path} does not say who may call it: give it a role, open or service`);
  });
}
