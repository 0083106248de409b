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
import { edgePolicy } from '@platform/http/edge-policy.ts';
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
    .use(createStatusRoutes({ guard, service }))
    .use(createPositionRoutes({ guard, ...positions }));
}

/** `PUT /v1/drivers/me/location`: nine of ten requests in a city. */
export function createPutLocationRoute(intake: Intake): HotRoute<typeof PositionFix> {
  return {
    method: 'PUT',
    path: '/v1/drivers/me/location',
    role: 'driver',
    body: PositionFix,
    async handle(fix, principal) {
      await intake.acceptFix(asDriverId(principal.id), fix);
      return new Response(null, { status: 204 });
    },
  };
}

function createStatusRoutes({ guard, service }: Pick<DriverRoutesDeps, 'guard' | 'service'>) {
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
      detail: {
        ...edgePolicy({ limitClass: 'read', priority: 4, repeatability: 'always' }),
        summary: "Get the driver's status, vehicle and trip",
      },
    })
    .put('/status', ({ principal, body }) => service.setStatus(asDriverId(principal.id), body.status), {
      role: 'driver',
      body: SetStatusBody,
      response: { 200: Driver },
      detail: {
        ...edgePolicy({ limitClass: 'write', priority: 2, repeatability: 'always' }),
        summary: 'Set the status to available or offline',
      },
    })
    .put('/vehicle', ({ principal, body }) => service.changeVehicle(asDriverId(principal.id), body), {
      role: 'driver',
      body: VehicleBody,
      response: { 200: Driver },
      detail: {
        ...edgePolicy({ limitClass: 'write', priority: 2, repeatability: 'always' }),
        summary: "Set the driver's vehicle",
      },
    });
}

type PositionRoutesDeps = Omit<DriverRoutesDeps, 'service'>;

function createPositionRoutes({ guard, intake, search, putLocation }: PositionRoutesDeps) {
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
        ...edgePolicy({ limitClass: 'position', priority: 3, repeatability: 'always' }),
        summary: 'Report the current position',
        description: 'The response is sent once searches find the driver at the new position.',
        responses: { 204: { description: 'Position stored' } },
      },
    })
    .post(
      '/me/locations',
      ({ principal, body }) => intake.acceptBatch(asDriverId(principal.id), body.points),
      {
        role: 'driver',
        body: PositionBatchBody,
        response: { 200: PositionBatchResult },
        detail: {
          ...edgePolicy({ limitClass: 'position', priority: 3, repeatability: 'never' }),
          summary: 'Report several recent positions',
          description: 'Points may come in any order. Each rejected point is listed with its reason.',
        },
      },
    )
    .get('/nearby', ({ query }) => search.findNearby(query), {
      role: ['rider', 'driver'],
      query: NearbyQuery,
      response: { 200: NearbyDrivers },
      detail: {
        ...edgePolicy({ limitClass: 'read', priority: 4, repeatability: 'always' }),
        summary: 'List available drivers near a point',
        description: 'The drivers are anonymous and their positions are rounded to about 11 m.',
      },
    });
}
