import { timestamp } from '@contracts/common.ts';
import {
  Candidate,
  CandidateQuery,
  HoldBody,
  HoldResult,
  PositionsBody,
  PositionsResult,
  ReleaseBody,
  TrackEnd,
  TrackQuery,
  TrackSummary,
} from '@contracts/drivers.ts';
import { TripIdSchema } from '@contracts/ids.ts';
import type { ServiceGuard } from '@platform/auth/services.ts';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Intake } from './intake.ts';
import type { Search } from './search.ts';
import type { DriverService } from './service.ts';
import type { TrackStore } from './store-tracks.ts';
import { readTrack } from './tracks/read.ts';

export interface DriverInternalOptions {
  serviceGuard: ServiceGuard;
  intake: Intake;
  search: Search;
  service: DriverService;
  tracks: Pick<TrackStore, 'read' | 'lastAtMs'>;
}

/** What other services ask of this one: the trip context for candidates and holds, the realtime plane for positions. */
export function createDriverInternal({
  serviceGuard,
  intake,
  search,
  service,
  tracks,
}: DriverInternalOptions) {
  return new Elysia({
    name: 'driver:internal',
    prefix: '/internal/driver',
    normalize: false,
    detail: { hide: true },
  })
    .use(serviceGuard)
    .post('/candidates', async ({ body }) => ({ candidates: await search.candidates(body) }), {
      service: true,
      body: CandidateQuery,
      response: { 200: Type.Object({ candidates: Type.Array(Candidate) }) },
    })
    .post('/holds', ({ body }) => service.hold(body), {
      service: true,
      body: HoldBody,
      response: { 200: HoldResult },
    })
    .post(
      '/releases',
      async ({ body, status }) => {
        await service.release(body);
        return status(204);
      },
      { service: true, body: ReleaseBody },
    )
    .get('/tracks/:tripId', ({ params, query }) => readTrack(tracks, params.tripId, query), {
      service: true,
      params: Type.Object({ tripId: TripIdSchema }),
      query: TrackQuery,
      response: { 200: TrackSummary },
    })
    .get(
      '/tracks/:tripId/last',
      async ({ params }) => {
        const lastAtMs = await tracks.lastAtMs(params.tripId);
        return { lastAt: lastAtMs === null ? null : timestamp(lastAtMs) };
      },
      { service: true, params: Type.Object({ tripId: TripIdSchema }), response: { 200: TrackEnd } },
    )
    .post('/positions', ({ body }) => intake.takeMany(body.updates), {
      service: true,
      body: PositionsBody,
      response: { 200: PositionsResult },
    });
}
export type DriverInternal = ReturnType<typeof createDriverInternal>;
