import { consumingContexts } from '@contracts/dead-letters.ts';
import { createDriverRoutes, createPutLocationRoute } from '@modules/driver/index.ts';
import type { DeclaredRoute } from '@modules/gateway/routing/route-table.ts';
import { createNotificationRoutes } from '@modules/notification/index.ts';
import { createPaymentRoutes } from '@modules/payment/index.ts';
import { createTripRoutes } from '@modules/trip/index.ts';
import { createUserRoutes } from '@modules/user/index.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { createDeadLetterRoutes } from '@platform/http/dead-letter-routes.ts';
import { createPublicApi } from './public-api.ts';

/** Passes the few dependencies that declaring routes needs as all that serving them would need. */
const asDeps = <Deps>(deps: object): Deps => deps as Deps;

/**
 * The public routes of all contexts, for the gateway of a fleet. They come from the declarations that the
 * services serve. Their handlers are never called here.
 */
export function declarePublicRoutes(): DeclaredRoute[] {
  const guard = createGuard({ verify: () => Promise.reject(new Error('these routes are only declared')) });
  const putLocation = createPutLocationRoute(asDeps({}));
  const app = createPublicApi({
    user: { routes: createUserRoutes(asDeps({ guard })) },
    driver: { routes: createDriverRoutes(asDeps({ guard, putLocation })) },
    payment: { routes: createPaymentRoutes(asDeps({ guard })) },
    trip: { routes: createTripRoutes(asDeps({ guard })) },
    notification: { routes: createNotificationRoutes(asDeps({ guard })) },
  });
  for (const context of consumingContexts)
    app.use(createDeadLetterRoutes(asDeps({ context, queues: [], guard })));
  return declaredRoutesOf(app);
}

/** The routes of an app. */
export const declaredRoutesOf = (app: { routes: readonly DeclaredRoute[] }): DeclaredRoute[] =>
  app.routes.map(({ method, path }) => ({ method, path }));
