import { consumingContexts } from '@contracts/dead-letters.ts';
import { createDriverRoutes, createPutLocationRoute } from '@modules/driver/index.ts';
import type { DeclaredRoute } from '@modules/gateway/routing/public-route.ts';
import { readPublicRoutes } from '@modules/gateway/routing/read-routes.ts';
import { createNotificationRoutes } from '@modules/notification/index.ts';
import { createPaymentRoutes } from '@modules/payment/index.ts';
import { createTripRoutes } from '@modules/trip/index.ts';
import { createUserRoutes } from '@modules/user/index.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { createDeadLetterRoutes } from '@platform/http/dead-letter-routes.ts';

/** Passes the few dependencies that declaring routes needs as all that serving them would need. */
const asDeps = <Deps>(deps: object): Deps => deps as Deps;

/**
 * The public routes of all contexts, with what they declare for the edge. The edge of both topologies is built from
 * them. They come from the declarations that the services serve; their handlers are never called here.
 */
export function declarePublicRoutes(): DeclaredRoute[] {
  const guard = createGuard({ verify: () => Promise.reject(new Error('these routes are only declared')) });
  const putLocation = createPutLocationRoute(asDeps({}));
  return [
    ...readPublicRoutes('user', createUserRoutes(asDeps({ guard }))),
    ...readPublicRoutes('driver', createDriverRoutes(asDeps({ guard, putLocation }))),
    ...readPublicRoutes('payment', createPaymentRoutes(asDeps({ guard }))),
    ...readPublicRoutes('trip', createTripRoutes(asDeps({ guard }))),
    ...readPublicRoutes('notification', createNotificationRoutes(asDeps({ guard }))),
    ...consumingContexts.flatMap((context) =>
      readPublicRoutes(context, createDeadLetterRoutes(asDeps({ context, queues: [], guard }))),
    ),
  ];
}
