import {
  Driver,
  NearbyDrivers,
  NearbyQuery,
  PositionBatchBody,
  PositionBatchResult,
  PositionFix,
  SetStatusBody,
  Vehicle,
} from '@contracts/drivers.ts';
import { asDriver } from '@contracts/ids.ts';
import type { Guard } from '@platform/auth/guard.ts';
import { readBody } from '@platform/http/body.ts';
import type { HotRoute } from '@platform/http/hot.ts';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { Elysia } from 'elysia';
import type { Intake } from './intake.ts';
import type { Search } from './search.ts';
import type { DriverService } from './service.ts';

export interface DriverRoutesOptions {
  guard: Guard;
  service: DriverService;
  intake: Intake;
  search: Search;
  putLocation: HotRoute;
}

export function createDriverRoutes({ guard, service, ...positions }: DriverRoutesOptions) {
  return new Elysia({ name: 'driver', normalize: false })
    .use(createWorkRoutes({ guard, service }))
    .use(createPositionRoutes({ guard, ...positions }));
}

const fixCheck = TypeCompiler.Compile(PositionFix);

/** `PUT /v1/drivers/me/location`: nine of ten requests of a city. */
export function createPutLocation(intake: Intake): HotRoute {
  return {
    method: 'PUT',
    path: '/v1/drivers/me/location',
    role: 'driver',
    async handle(request, person) {
      await intake.take(asDriver(person.id), await readBody(request, fixCheck));
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
      body: Vehicle,
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
    .model({ PositionFix })
    .put('/me/location', ({ request, person }) => putLocation.handle(request, person), {
      role: putLocation.role,
      parse: 'none',
      detail: {
        summary: 'Where I am; answered once searches can find me there',
        requestBody: {
          required: true,
          content: { 'application/json': { schema: { $ref: '#/components/schemas/PositionFix' } } },
        },
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
