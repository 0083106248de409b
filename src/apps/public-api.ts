import type { createDriverRoutes } from '@modules/driver/index.ts';
import type { createNotificationRoutes } from '@modules/notification/index.ts';
import type { createPaymentRoutes } from '@modules/payment/index.ts';
import type { createTripRoutes } from '@modules/trip/index.ts';
import type { createUserRoutes } from '@modules/user/index.ts';
import { Elysia } from 'elysia';

export interface PublicRoutes {
  user: { routes: ReturnType<typeof createUserRoutes> };
  driver: { routes: ReturnType<typeof createDriverRoutes> };
  payment: { routes: ReturnType<typeof createPaymentRoutes> };
  trip: { routes: ReturnType<typeof createTripRoutes> };
  notification: { routes: ReturnType<typeof createNotificationRoutes> };
}

/** The public routes of all contexts in one app. The client in `src/client` is derived from its type. */
export const createPublicApi = ({ user, driver, payment, trip, notification }: PublicRoutes) =>
  new Elysia({ name: 'public', normalize: false })
    .use(user.routes)
    .use(driver.routes)
    .use(payment.routes)
    .use(trip.routes)
    .use(notification.routes);
export type PublicApi = ReturnType<typeof createPublicApi>;
