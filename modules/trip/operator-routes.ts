import { TripPath } from '@contracts/ids.ts';
import { OperatorReasonBody, ReassignTripBody, TripRecord } from '@contracts/operators.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { Principal } from '@platform/auth/verifier.ts';
import { readConsistencyTokenOf } from '@platform/http/read-consistency.ts';
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
    operatorView(trip, await service.history(trip.id, operatorOf(person), readConsistencyTokenOf(request)));

  return new Elysia({
    name: 'trip:operators',
    prefix: '/ops/trips',
    normalize: false,
    detail: { tags: ['operators'] },
  })
    .use(guard)
    .get(
      '/:id',
      async ({ principal, params, request }) =>
        recordOf(await service.get(params.id, operatorOf(principal)), principal, request),
      {
        role,
        params: TripPath,
        response: { 200: TripRecord },
        detail: { summary: 'A trip with its history' },
      },
    )
    .post(
      '/:id/cancel',
      async ({ principal, params, body, request }) =>
        recordOf(await service.cancel(params.id, operatorOf(principal), body.reason), principal, request),
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
      async ({ principal, params, body, request }) =>
        recordOf(await service.complete(params.id, operatorOf(principal), body.reason), principal, request),
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
      async ({ principal, params, body: { reason, pickup }, request }) =>
        recordOf(
          await service.reassign(params.id, operatorOf(principal), reason, pickup),
          principal,
          request,
        ),
      {
        role,
        params: TripPath,
        body: ReassignTripBody,
        response: { 200: TripRecord },
        detail: {
          summary: 'Take a trip from its driver and look for another; fare and start code stay',
        },
      },
    );
}

const operatorOf = ({ id }: Principal) => ({ actor: 'ops', id }) as const;
