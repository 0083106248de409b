import { ActiveTrips, ActiveTripsQuery } from '@contracts/trips.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import { Elysia } from 'elysia';
import type { TripService } from './service.ts';
import { viewFor } from './views.ts';

export interface TripInternalDeps {
  serviceGuard: ServiceGuard;
  service: TripService;
}

/** For other services only: the realtime plane asks for what people need who have lost events. */
export function createTripInternalRoutes({ serviceGuard, service }: TripInternalDeps) {
  return new Elysia({ name: 'trip:internal', prefix: '/internal/trip', normalize: false })
    .use(serviceGuard)
    .post(
      '/active',
      async ({ body }) => {
        const found = await service.findActive(body.people);
        return { items: found.map(({ personId, trip }) => ({ personId, trip: viewFor(trip, personId) })) };
      },
      { service: true, body: ActiveTripsQuery, response: { 200: ActiveTrips } },
    );
}
