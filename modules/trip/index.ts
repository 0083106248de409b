import { Page, PageQuery } from '@contracts/common.ts';
import { asDriverId, asRiderId, TripPath } from '@contracts/ids.ts';
import {
  CancelBody,
  CreateTripBody,
  DeclineBody,
  DriverTrip,
  PersonTrip,
  RatingBody,
  RiderTrip,
  StartTripBody,
  TripHistory,
  TripStatus,
} from '@contracts/trips.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { Principal } from '@platform/auth/verifier.ts';
import { readCursor, writeCursor } from '@platform/http/cursor.ts';
import { edgePolicy } from '@platform/http/edge-policy.ts';
import { readIdempotencyKey } from '@platform/http/idempotency.ts';
import { readConsistencyTokenOf, sendReadConsistencyToken } from '@platform/http/read-consistency.ts';
import type { Ids } from '@platform/ids.ts';
import type { Database } from '@platform/postgres/database.ts';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import { createTripOperatorRoutes } from './operator-routes.ts';
import type { TripService } from './service.ts';
import { driverView, historyFor, viewFor } from './views.ts';

const pageSize = 20;
const ListQuery = Type.Composite([PageQuery, Type.Object({ status: Type.Optional(TripStatus) })]);

export interface TripRoutesDeps {
  service: TripService;
  guard: Guard;
  ids: Ids;
  database: Database;
}

/** The public routes of trips. */
export function createTripRoutes({ service, guard, ids, database }: TripRoutesDeps) {
  return new Elysia({ name: 'trip', prefix: '/v1', normalize: false, detail: { tags: ['trip'] } })
    .use(guard)
    .onAfterHandle(sendReadConsistencyToken(database))
    .use(createReadingRoutes({ service, guard }))
    .use(createDrivingRoutes({ service, guard }))
    .use(createTripOperatorRoutes({ service, guard }))
    .post(
      '/trips',
      async ({ principal, body, request, set }) => {
        const key = readIdempotencyKey(request, body, principal.id, ids);
        const trip = await service.create({ ...riderOf(principal), name: principal.name }, body.quoteId, key);
        set.status = 201;
        set.headers.location = `/v1/trips/${trip.id}`;
        return trip;
      },
      {
        role: 'rider',
        body: CreateTripBody,
        response: { 201: RiderTrip },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 2, repeatability: 'with_key' }),
          summary: 'Request a trip with a quote',
        },
      },
    )
    .post(
      '/trips/:id/cancel',
      async ({ principal, params, body }) =>
        viewFor(await service.cancel(params.id, participantOf(principal), body.reason), principal.id),
      {
        role: ['rider', 'driver'],
        params: TripPath,
        body: CancelBody,
        response: { 200: PersonTrip },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Cancel a trip before the ride begins',
        },
      },
    )
    .post(
      '/trips/:id/rating',
      async ({ principal, params, body, set }) => {
        const trip = await service.rate(
          params.id,
          participantOf(principal),
          body.stars,
          body.comment ?? null,
        );
        set.status = 201;
        return viewFor(trip, principal.id);
      },
      {
        role: ['rider', 'driver'],
        params: TripPath,
        body: RatingBody,
        response: { 201: PersonTrip },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 2, repeatability: 'never' }),
          summary: 'Rate the other participant of a completed trip',
        },
      },
    );
}

const createReadingRoutes = ({ service, guard }: Pick<TripRoutesDeps, 'service' | 'guard'>) =>
  new Elysia({ name: 'trip.reading', normalize: false, detail: { tags: ['trip'] } })
    .use(guard)
    .get(
      '/trips',
      async ({ principal, query: { limit = pageSize, cursor, status }, request }) => {
        const listQuery = { status, after: readCursor(cursor), limit: limit + 1 };
        const trips = await service.list(
          participantOf(principal),
          listQuery,
          readConsistencyTokenOf(request),
        );
        const items = trips.slice(0, limit);
        const last = items.at(-1);
        const lastAtMs = principal.role === 'rider' ? last?.createdAtMs : last?.updatedAtMs;
        const hasMore = trips.length > limit && last !== undefined && lastAtMs !== undefined;
        return {
          items: items.map((trip) => viewFor(trip, principal.id)),
          nextCursor: hasMore ? writeCursor({ atMs: lastAtMs, id: last.id }) : null,
        };
      },
      {
        role: ['rider', 'driver'],
        query: ListQuery,
        response: { 200: Page(PersonTrip) },
        detail: {
          ...edgePolicy({ limitClass: 'read', priority: 4, repeatability: 'always' }),
          summary: 'List my trips, newest first',
        },
      },
    )
    .get(
      '/trips/:id',
      async ({ principal, params }) =>
        viewFor(await service.get(params.id, participantOf(principal)), principal.id),
      {
        role: ['rider', 'driver'],
        params: TripPath,
        response: { 200: PersonTrip },
        detail: {
          ...edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' }),
          summary: 'Get one of my trips',
        },
      },
    )
    .get(
      '/trips/:id/history',
      async ({ principal, params, request }) => ({
        items: historyFor(
          await service.history(params.id, participantOf(principal), readConsistencyTokenOf(request)),
          principal.id,
        ),
      }),
      {
        role: ['rider', 'driver'],
        params: TripPath,
        response: { 200: TripHistory },
        detail: {
          ...edgePolicy({ limitClass: 'read', priority: 4, repeatability: 'always' }),
          summary: 'List the transitions of a trip, with actor and reason',
        },
      },
    );

const createDrivingRoutes = ({ service, guard }: Pick<TripRoutesDeps, 'service' | 'guard'>) =>
  new Elysia({ name: 'trip.driving', normalize: false, detail: { tags: ['trip'] } })
    .use(guard)
    .post(
      '/trips/:id/accept',
      async ({ principal, params }) =>
        driverView(await service.accept(params.id, driverOf(principal), principal.name), principal.id),
      {
        role: 'driver',
        params: TripPath,
        response: { 200: DriverTrip },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Accept an offer',
        },
      },
    )
    .post(
      '/trips/:id/decline',
      // The response has no trip: the driver may not see it any more.
      async ({ principal, params, body, set }) => {
        await service.decline(params.id, driverOf(principal), body?.reason ?? null);
        set.status = 204;
      },
      {
        role: 'driver',
        params: TripPath,
        body: Type.Optional(DeclineBody),
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Decline an offer',
          responses: { 204: { description: 'Offer declined' } },
        },
      },
    )
    .post(
      '/trips/:id/arrive',
      async ({ principal, params }) =>
        driverView(await service.arrive(params.id, driverOf(principal)), principal.id),
      {
        role: 'driver',
        params: TripPath,
        response: { 200: DriverTrip },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Mark arrival at the pickup',
        },
      },
    )
    .post(
      '/trips/:id/start',
      async ({ principal, params, body }) =>
        driverView(await service.start(params.id, driverOf(principal), body.code), principal.id),
      {
        role: 'driver',
        params: TripPath,
        body: StartTripBody,
        response: { 200: DriverTrip },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Start the trip',
          description: 'The rider tells the driver the start code.',
        },
      },
    )
    .post(
      '/trips/:id/complete',
      async ({ principal, params }) => {
        const by = participantOf(principal);
        const trip =
          by.actor === 'rider'
            ? await service.endAfterDriverSilence(params.id, by)
            : await service.complete(params.id, by, null);
        return viewFor(trip, principal.id);
      },
      {
        role: ['rider', 'driver'],
        params: TripPath,
        response: { 200: PersonTrip },
        detail: {
          ...edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' }),
          summary: 'Complete the trip',
          description:
            'Charges the fare. The driver calls it when the rider has left the vehicle. The rider may call it once the driver has sent no position for `DRIVER_SILENT_MINUTES`; before that the response is 409 `trip.driver_not_silent` with Retry-After. The fare is then metered up to the last position.',
        },
      },
    );

const riderOf = ({ id }: Principal) => ({ actor: 'rider', id: asRiderId(id) }) as const;
const driverOf = ({ id }: Principal) => ({ actor: 'driver', id: asDriverId(id) }) as const;
const participantOf = (person: Principal) => (person.role === 'driver' ? driverOf(person) : riderOf(person));
