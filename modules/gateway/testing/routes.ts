import type { DeclaredRoute, PublicRoute } from '../routing/public-route.ts';

/** A route as a context declares it, with the usual policy of its method. */
export function publicTestRoute(
  method: string,
  path: string,
  overrides: Partial<PublicRoute> = {},
): DeclaredRoute {
  return {
    method,
    path,
    publicRoute: {
      owner: 'trip',
      limitClass: method === 'GET' ? 'read' : 'write',
      priority: 2,
      requiresToken: true,
      repeatability: method === 'POST' || method === 'PATCH' ? 'never' : 'always',
      ...overrides,
    },
  };
}

/** `POST /v1/auth/login`, which needs no token. */
export const loginTestRoute = publicTestRoute('POST', '/v1/auth/login', {
  owner: 'user',
  limitClass: 'auth',
  requiresToken: false,
});

/** `GET /v1/realtime`, which the edge forwards as a WebSocket. */
export const realtimeTestRoute = publicTestRoute('GET', '/v1/realtime', {
  owner: 'notification',
  limitClass: 'realtime',
  priority: 1,
  requiresToken: false,
});
