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
import { asDriver } from '@contracts/ids.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { HotRoute } from '@platform/http/hot.ts';
import { Elysia } from 'elysia';
import type { Intake } from './intake.ts';
import type { Search } from './search.ts';
import type { DriverService } from './service.ts';

export interface DriverRoutesOptions {
  guard: Guard;
  service: DriverService;
  intake: Intake;
  search: Search;
  putLocation: HotRoute<typeof PositionFix>;
}

export function createDriverRoutes({ guard, service, ...positions }: DriverRoutesOptions) {
  return new Elysia({ name: 'driver', normalize: false })
    .use(createWorkRoutes({ guard, service }))
    .use(createPositionRoutes({ guard, ...positions }));
}

/** `PUT /v1/drivers/me/location`: nine of ten requests of a city. */
export function createPutLocation(intake: Intake): HotRoute<typeof PositionFix> {
  return {
    method: 'PUT',
    path: '/v1/drivers/me/location',
    role: 'driver',
    body: PositionFix,
    async handle(fix, person) {
      await intake.take(asDriver(person.id), fix);
      return new Response(null, { status: 204 });
    },
  };
}

function createWorkRoutes({ guard, service }: Pick<DriverRoutesOptions, 'guard' | 'service'>) {
  return new Elysia({
    name: 'driver:work',
    prefix: '/v1/drivers/me',
    normalize: false,
    detail: { tags: ['driver'] },
  })
    .use(guard)
    .get('', ({ person }) => service.me(asDriver(person.id)), {
      role: 'driver',
      response: { 200: Driver },
      detail: { summary: 'My status, my vehicle and my trip' },
    })
    .put('/status', ({ person, body }) => service.setStatus(asDriver(person.id), body.status), {
      role: 'driver',
      body: SetStatusBody,
      response: { 200: Driver },
      detail: { summary: 'Go available or offline' },
    })
    .put('/vehicle', ({ person, body }) => service.setVehicle(asDriver(person.id), body), {
      role: 'driver',
      body: VehicleBody,
      response: { 200: Driver },
      detail: { summary: 'The vehicle I drive' },
    });
}

type PositionRoutesOptions = Omit<DriverRoutesOptions, 'service'>;

function createPositionRoutes({ guard, intake, search, putLocation }: PositionRoutesOptions) {
  return new Elysia({
    name: 'driver:positions',
    prefix: '/v1/drivers',
    normalize: false,
    detail: { tags: ['driver'] },
  })
    .use(guard)
    .put('/me/location', ({ body, person }) => putLocation.handle(body, person), {
      role: putLocation.role,
      body: putLocation.body,
      detail: {
        summary: 'Where I am; answered once searches can find me there',
        responses: { 204: { description: 'Stored' } },
      },
    })
    .post('/me/locations', ({ person, body }) => intake.takeBatch(asDriver(person.id), body.points), {
      role: 'driver',
      body: PositionBatchBody,
      response: { 200: PositionBatchResult },
      detail: { summary: 'Where I was lately; each refused point is told with its reason' },
    })
    .get('/nearby', ({ query }) => search.nearby(query), {
      role: ['rider', 'driver'],
      query: NearbyQuery,
      response: { 200: NearbyDrivers },
      detail: { summary: 'Available drivers around a point, anonymous' },
    });
}
