import { TripPath } from '@contracts/ids.ts';
import { HandOverBody, OperatorReasonBody, TripRecord } from '@contracts/operators.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { Principal } from '@platform/auth/verifier.ts';
import { sessionOf } from '@platform/http/session.ts';
import { Elysia } from 'elysia';
import type { TripService } from './service.ts';
import type { Trip } from './trip.ts';
import { operatorView } from './views.ts';

const role = 'ops';

export interface TripOperatorRoutesDeps {
  service: TripService;
  guard: Guard;
}

/** What operators may do with trips: `/v1/ops/trips`. Each act is a history row with its author and reason. */
export function createTripOperatorRoutes({ service, guard }: TripOperatorRoutesDeps) {
  const recordOf = async (trip: Trip, person: Principal, request: Request) =>
    operatorView(trip, await service.history(trip.id, operatorOf(person), sessionOf(request)));

  return new Elysia({
    name: 'trip:operators',
    prefix: '/ops/trips',
    normalize: false,
    detail: { tags: ['operators'] },
  })
    .use(guard)
    .get(
      '/:id',
      async ({ person, params, request }) =>
        recordOf(await service.get(params.id, operatorOf(person)), person, request),
      {
        role,
        params: TripPath,
        response: { 200: TripRecord },
        detail: { summary: 'A trip with its history' },
      },
    )
    .post(
      '/:id/cancel',
      async ({ person, params, body, request }) =>
        recordOf(await service.cancel(params.id, operatorOf(person), body.reason), person, request),
      {
        role,
        params: TripPath,
        body: OperatorReasonBody,
        response: { 200: TripRecord },
        detail: { summary: 'Cancel a trip in any state that is not final; nothing is charged' },
      },
    )
    .post(
      '/:id/complete',
      async ({ person, params, body, request }) =>
        recordOf(await service.complete(params.id, operatorOf(person), body.reason), person, request),
      {
        role,
        params: TripPath,
        body: OperatorReasonBody,
        response: { 200: TripRecord },
        detail: { summary: 'Complete a ride in progress: the fare is charged as if the driver had done it' },
      },
    )
    .post(
      '/:id/hand-over',
      async ({ person, params, body: { reason, pickup }, request }) =>
        recordOf(await service.handOver(params.id, operatorOf(person), reason, pickup), person, request),
      {
        role,
        params: TripPath,
        body: HandOverBody,
        response: { 200: TripRecord },
        detail: {
          summary: 'Take a trip from its driver and look for another; fare and start code stay',
        },
      },
    );
}

const operatorOf = ({ id }: Principal) => ({ actor: 'ops', id }) as const;
