import { TripPath } from '@contracts/ids.ts';
import { OperatorReasonBody, ReassignTripBody, TripRecord } from '@contracts/operators.ts';
import type { Guard } from '@platform/auth/guard.ts';
import type { Principal } from '@platform/auth/verifier.ts';
import { edgePolicy } from '@platform/http/edge-policy.ts';
import { readConsistencyTokenOf } from '@platform/http/read-consistency.ts';
import { Elysia } from 'elysia';
import type { TripService } from './service.ts';
import type { Trip } from './trip.ts';
import { operatorView } from './views.ts';

const role = 'ops';
const readPolicy = edgePolicy({ limitClass: 'read', priority: 1, repeatability: 'always' });
const writePolicy = edgePolicy({ limitClass: 'write', priority: 1, repeatability: 'never' });

export interface TripOperatorRoutesDeps {
  service: TripService;
  guard: Guard;
}

/** The operators' routes for trips: `/v1/ops/trips`. Each action adds a history row with the operator and the reason. */
export function createTripOperatorRoutes({ service, guard }: TripOperatorRoutesDeps) {
  const recordOf = createRecordView(service);
  const detail = { tags: ['operators'] };
  return new Elysia({ name: 'trip:operators', prefix: '/ops/trips', normalize: false, detail })
    .use(guard)
    .get(
      '/:id',
      async ({ principal, params, request }) =>
        recordOf(await service.get(params.id, operatorOf(principal)), principal, request),
      {
        role,
        params: TripPath,
        response: { 200: TripRecord },
        detail: { ...readPolicy, summary: 'Get a trip with its history' },
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
        detail: {
          ...writePolicy,
          summary: 'Cancel a trip that has not ended',
          description: 'Nothing is charged.',
        },
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
        detail: {
          ...writePolicy,
          summary: 'Complete a trip in progress',
          description: 'The fare is charged as if the driver had completed the trip.',
        },
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
          ...writePolicy,
          summary: 'Reassign a trip to another driver',
          description: 'The trip goes back to the search. Fare and start code stay the same.',
        },
      },
    );
}

const createRecordView =
  (service: TripService) =>
  async (trip: Trip, principal: Principal, request: Request): Promise<TripRecord> => {
    const history = await service.history(trip.id, operatorOf(principal), readConsistencyTokenOf(request));
    return operatorView(trip, history);
  };

const operatorOf = ({ id }: Principal) => ({ actor: 'ops', id }) as const;
