import { formatTimestamp } from '@contracts/common.ts';
import {
  Candidate,
  CandidateQuery,
  HoldBody,
  HoldResult,
  PositionUpdatesBody,
  PositionUpdatesResult,
  ReleaseBody,
  TrackEnd,
  TrackQuery,
  TrackSummary,
} from '@contracts/drivers.ts';
import { TripIdSchema } from '@contracts/ids.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import { Type } from '@sinclair/typebox';
import { Elysia } from 'elysia';
import type { Intake } from './positions/intake.ts';
import type { DriverSearch } from './positions/search.ts';
import type { DriverService } from './service.ts';
import type { TrackStore } from './store/tracks.ts';
import { summarizeTrack } from './tracks/summary.ts';

export interface DriverInternalDeps {
  serviceGuard: ServiceGuard;
  intake: Intake;
  search: DriverSearch;
  service: DriverService;
  tracks: Pick<TrackStore, 'findPoints' | 'findLastRecordedAtMs'>;
}

/**
 * Routes for other services: the trip context asks for candidates and holds, the payment context for tracks,
 * and the notification context delivers positions of live connections.
 */
export function createDriverInternalRoutes({
  serviceGuard,
  intake,
  search,
  service,
  tracks,
}: DriverInternalDeps) {
  return new Elysia({
    name: 'driver:internal',
    prefix: '/internal/driver',
    normalize: false,
    detail: { hide: true },
  })
    .use(serviceGuard)
    .post('/candidates', async ({ body }) => ({ candidates: await search.findCandidates(body) }), {
      service: true,
      body: CandidateQuery,
      response: { 200: Type.Object({ candidates: Type.Array(Candidate) }) },
    })
    .post('/holds', ({ body }) => service.holdDriver(body), {
      service: true,
      body: HoldBody,
      response: { 200: HoldResult },
    })
    .post(
      '/releases',
      async ({ body, status }) => {
        await service.releaseDriver(body);
        return status(204);
      },
      { service: true, body: ReleaseBody },
    )
    .get('/tracks/:tripId', ({ params, query }) => summarizeTrack(tracks, params.tripId, query), {
      service: true,
      params: Type.Object({ tripId: TripIdSchema }),
      query: TrackQuery,
      response: { 200: TrackSummary },
    })
    .get(
      '/tracks/:tripId/last',
      async ({ params }) => {
        const lastAtMs = await tracks.findLastRecordedAtMs(params.tripId);
        return { lastAt: lastAtMs === null ? null : formatTimestamp(lastAtMs) };
      },
      { service: true, params: Type.Object({ tripId: TripIdSchema }), response: { 200: TrackEnd } },
    )
    .post('/positions', ({ body }) => intake.acceptBatches(body.updates), {
      service: true,
      body: PositionUpdatesBody,
      response: { 200: PositionUpdatesResult },
    });
}
export type DriverInternalRoutes = ReturnType<typeof createDriverInternalRoutes>;
