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

/** The parts that declaring routes needs, for all that serving them would need. */
const declaring = <Parts>(parts: object): Parts => parts as Parts;

/**
 * The public routes of all contexts, for the gateway of a fleet: from the very declarations that the services
 * serve, whose handlers are never called here.
 */
export function declarePublicRoutes(): DeclaredRoute[] {
  const guard = createGuard({ verify: () => Promise.reject(new Error('nothing is served here')) });
  const putLocation = createPutLocationRoute(declaring({}));
  const app = createPublicApi({
    user: { routes: createUserRoutes(declaring({ guard })) },
    driver: { routes: createDriverRoutes(declaring({ guard, putLocation })) },
    payment: { routes: createPaymentRoutes(declaring({ guard })) },
    trip: { routes: createTripRoutes(declaring({ guard })) },
    notification: { routes: createNotificationRoutes(declaring({ guard })) },
  });
  for (const context of consumingContexts)
    app.use(createDeadLetterRoutes(declaring({ context, queues: [], guard })));
  return declaredRoutesOf(app);
}

/** What an app serves. */
export const declaredRoutesOf = (app: { routes: readonly DeclaredRoute[] }): DeclaredRoute[] =>
  app.routes.map(({ method, path }) => ({ method, path }));
