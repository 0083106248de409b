import {
  Driver,
  NearbyDrivers,
  NearbyQuery,
  PositionBatchBody,
  PositionBatchResult,
  PositionFix,
  SetStatusBody,
  VehicleBody,
} from '@contracts/drivers.ts';
import { asDriverId } from '@contracts/ids.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { HotRoute } from '@platform/http/hot-routes.ts';
import { Elysia } from 'elysia';
import type { Intake } from './positions/intake.ts';
import type { DriverSearch } from './positions/search.ts';
import type { DriverService } from './service.ts';

export interface DriverRoutesDeps {
  guard: Guard;
  service: DriverService;
  intake: Intake;
  search: DriverSearch;
  putLocation: HotRoute<typeof PositionFix>;
}

export function createDriverRoutes({ guard, service, ...positions }: DriverRoutesDeps) {
  return new Elysia({ name: 'driver', normalize: false })
    .use(createWorkRoutes({ guard, service }))
    .use(createPositionRoutes({ guard, ...positions }));
}

/** `PUT /v1/drivers/me/location`: nine of ten requests of a city. */
export function createPutLocationRoute(intake: Intake): HotRoute<typeof PositionFix> {
  return {
    method: 'PUT',
    path: '/v1/drivers/me/location',
    role: 'driver',
    body: PositionFix,
    async handle(fix, person) {
      await intake.acceptFix(asDriverId(person.id), fix);
      return new Response(null, { status: 204 });
    },
  };
}

function createWorkRoutes({ guard, service }: Pick<DriverRoutesDeps, 'guard' | 'service'>) {
  return new Elysia({
    name: 'driver:work',
    prefix: '/v1/drivers/me',
    normalize: false,
    detail: { tags: ['driver'] },
  })
    .use(guard)
    .get('', ({ principal }) => service.findDriver(asDriverId(principal.id)), {
      role: 'driver',
      response: { 200: Driver },
      detail: { summary: 'My status, my vehicle and my trip' },
    })
    .put('/status', ({ principal, body }) => service.setStatus(asDriverId(principal.id), body.status), {
      role: 'driver',
      body: SetStatusBody,
      response: { 200: Driver },
      detail: { summary: 'Go available or offline' },
    })
    .put('/vehicle', ({ principal, body }) => service.changeVehicle(asDriverId(principal.id), body), {
      role: 'driver',
      body: VehicleBody,
      response: { 200: Driver },
      detail: { summary: 'The vehicle I drive' },
    });
}

type PositionRoutesOptions = Omit<DriverRoutesDeps, 'service'>;

function createPositionRoutes({ guard, intake, search, putLocation }: PositionRoutesOptions) {
  return new Elysia({
    name: 'driver:positions',
    prefix: '/v1/drivers',
    normalize: false,
    detail: { tags: ['driver'] },
  })
    .use(guard)
    .put('/me/location', ({ body, principal }) => putLocation.handle(body, principal), {
      role: putLocation.role,
      body: putLocation.body,
      detail: {
        summary: 'Where I am; answered once searches can find me there',
        responses: { 204: { description: 'Stored' } },
      },
    })
    .post(
      '/me/locations',
      ({ principal, body }) => intake.acceptBatch(asDriverId(principal.id), body.points),
      {
        role: 'driver',
        body: PositionBatchBody,
        response: { 200: PositionBatchResult },
        detail: { summary: 'Where I was lately; each refused point is told with its reason' },
      },
    )
    .get('/nearby', ({ query }) => search.findNearby(query), {
      role: ['rider', 'driver'],
      query: NearbyQuery,
      response: { 200: NearbyDrivers },
      detail: { summary: 'Available drivers around a point, anonymous' },
    });
}
