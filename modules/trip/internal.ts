import { ActiveTrips, ActiveTripsQuery } from '@contracts/trips.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import { Elysia } from 'elysia';
import type { TripService } from './service.ts';
import { viewFor } from './views.ts';

export interface TripInternalDeps {
  serviceGuard: ServiceGuard;
  service: TripService;
}

/** Routes for other services. The notification service reads active trips for clients that have missed events. */
export function createTripInternalRoutes({ serviceGuard, service }: TripInternalDeps) {
  return new Elysia({ name: 'trip:internal', prefix: '/internal/trip', normalize: false })
    .use(serviceGuard)
    .post(
      '/active',
      async ({ body }) => {
        const activeTrips = await service.findActive(body.people);
        return {
          items: activeTrips.map(({ personId, trip }) => ({ personId, trip: viewFor(trip, personId) })),
        };
      },
      { service: true, body: ActiveTripsQuery, response: { 200: ActiveTrips } },
    );
}
