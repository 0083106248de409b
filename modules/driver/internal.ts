import {
  Candidate,
  CandidateQuery,
  HoldBody,
  HoldResult,
  PositionsBody,
  PositionsResult,
  ReleaseBody,
} from '@contracts/drivers.ts';
import type { ServiceGuard } from '@platform/auth/guard.ts';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Live } from './live.ts';

/** What other services ask of this one: the trip context for candidates and holds, the realtime plane for positions. */
export function createDriverInternal({ serviceGuard, live }: { serviceGuard: ServiceGuard; live: Live }) {
  return new Elysia({
    name: 'driver:internal',
    prefix: '/internal/driver',
    normalize: false,
    detail: { hide: true },
  })
    .use(serviceGuard)
    .post('/candidates', async ({ body }) => ({ candidates: await live.candidates(body) }), {
      body: CandidateQuery,
      response: { 200: Type.Object({ candidates: Type.Array(Candidate) }) },
    })
    .post(
      '/holds',
      async ({ body: { driverId, tripId, ttlMs } }) => ({ held: await live.hold(driverId, tripId, ttlMs) }),
      { body: HoldBody, response: { 200: HoldResult } },
    )
    .post(
      '/releases',
      async ({ body: { driverId, tripId }, status }) => {
        await live.release(driverId, tripId);
        return status(204);
      },
      { body: ReleaseBody },
    )
    .post('/positions', ({ body }) => live.takeMany(body.updates), {
      body: PositionsBody,
      response: { 200: PositionsResult },
    });
}
export type DriverInternal = ReturnType<typeof createDriverInternal>;
