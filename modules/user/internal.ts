import { RevocationsPage, RevocationsQuery } from '@contracts/revocations.ts';
import type { RevocationSource } from '@platform/auth/revocations.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import { Elysia } from 'elysia';

export interface UserInternalDeps {
  serviceGuard: ServiceGuard;
  revocations: RevocationSource;
}

/** Routes for the gateway and for all services. */
export function createUserInternalRoutes({ serviceGuard, revocations }: UserInternalDeps) {
  return new Elysia({
    name: 'user:internal',
    prefix: '/internal/user',
    normalize: false,
    detail: { hide: true },
  })
    .use(serviceGuard)
    .get(
      '/revocations',
      ({ query: { sinceMs = 0, afterId } }) =>
        revocations({ sinceMs, ...(afterId === undefined ? {} : { afterId }) }),
      {
        service: true,
        query: RevocationsQuery,
        response: { 200: RevocationsPage },
      },
    );
}
export type UserInternalRoutes = ReturnType<typeof createUserInternalRoutes>;
