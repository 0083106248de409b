import type { Guard } from '@platform/auth/guard.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import type { HotRoute } from '@platform/http/hot-routes.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Database } from '@platform/postgres/database.ts';
import { createInboxLookup } from '@platform/postgres/inbox.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import { createSweeper } from '@platform/sweeper.ts';
import { createSignOutConsumer, createTripConsumer } from './consumers.ts';
import { createDriverRoutes, createPutLocationRoute } from './index.ts';
import { createDriverInternalRoutes } from './internal.ts';
import { migrations } from './migrations/index.ts';
import type { Followers } from './ports.ts';
import { createFollowerUpdates } from './positions/follower-updates.ts';
import type { PositionIndex } from './positions/index.ts';
import { createIngest } from './positions/ingest.ts';
import { createIntake, type Intake } from './positions/intake.ts';
import { createDriverSearch } from './positions/search.ts';
import { createDriverService, type DriverService } from './service.ts';
import { type DriverSettings, positionRulesOf } from './settings.ts';
import { createDriverStore, type DriverStore, peopleConsumer, tripsConsumer } from './store/drivers.ts';
import { createTrackStore, type TrackStore } from './store/tracks.ts';
import { createTrackRecorder } from './tracks/recorder.ts';

export interface DriverContextDeps {
  database: Database;
  bus: Bus;
  /** In Redis, or in memory where only one process runs. */
  index: PositionIndex;
  /** Receives the positions of busy drivers for the people who wait for them. */
  followers: Followers;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  guard: Guard;
  serviceGuard: ServiceGuard;
  settings: DriverSettings;
}

export interface DriverContext extends Context {
  routes: ReturnType<typeof createDriverRoutes>;
  internalRoutes: ReturnType<typeof createDriverInternalRoutes>;
  hotRoutes: readonly HotRoute[];
  /** Takes positions that arrive in the same process, without a request to this service. */
  intake: Intake;
  prepare(): Promise<void>;
}

const dayMs = 24 * 60 * 60 * 1_000;
const expireOffersEveryMs = 2_000;
const sweepEveryMs = 5_000;

/** Drivers: who is available, where they are, and who may be offered a trip. */
export function createDriverContext(deps: DriverContextDeps): DriverContext {
  const { database, bus, index, clock, log, metrics, guard, serviceGuard, settings } = deps;
  const store = createDriverStore(database);
  const service = createDriverService({ store, index, clock, log, metrics });
  const ingest = createIngest({
    index,
    loadAvailabilities: store.loadAvailabilities,
    clock,
    log,
    metrics,
    windowMs: settings.POSITION_WINDOW_MS,
    batchMax: settings.POSITION_BATCH_MAX,
    waitingMax: settings.POSITION_WAITING_MAX,
    waitMsMax: settings.POSITION_WAIT_MS_MAX,
  });
  const tracks = createTrackStore(database);
  const recorder = createTrackRecorder({
    save: tracks.addPoints,
    clock,
    log,
    metrics,
    waitingMax: settings.TRACK_WAITING_MAX,
  });
  const followerUpdates = createFollowerUpdates({ followers: deps.followers, clock, log, metrics });
  const intake = createIntake({
    ingest,
    tracks: recorder,
    onBusyDriverMoved: followerUpdates.enqueue,
    clock,
    metrics,
    limits: {
      ...positionRulesOf(settings),
      accuracyMetresMax: settings.POSITION_ACCURACY_METRES_MAX,
    },
  });
  const putLocation = createPutLocationRoute(intake);
  const search = createDriverSearch({
    index,
    loadAvailabilities: store.loadAvailabilities,
    clock,
    log,
    metrics,
    candidateRadiusMetresMax: settings.SEARCH_RADIUS_METRES_MAX,
    nearbyRadiusMetresMax: settings.NEARBY_RADIUS_METRES_MAX,
  });

  return {
    name: 'driver',
    routes: createDriverRoutes({ guard, service, intake, search, putLocation }),
    hotRoutes: [putLocation],
    intake,
    internalRoutes: createDriverInternalRoutes({ serviceGuard, intake, search, service, tracks }),
    queues: [tripsConsumer, peopleConsumer].map((queue) => ({
      queue,
      appliedEvents: createInboxLookup(database, queue),
    })),
    prepare: () => migrate(database, migrations, log),
    workers: [
      // Workers stop in reverse order, so the recorder still saves what arrives until the end.
      recorder,
      followerUpdates.worker,
      createTripConsumer(bus, service, settings.DRIVER_PREFETCH),
      createSignOutConsumer(bus, service, settings.DRIVER_PREFETCH),
      ...createLoops(deps, service, store, tracks),
    ],
    readinessChecks: { postgres: () => database.ping(), positions: () => index.ping() },
  };
}

/** Periodic jobs: expired offers, silent drivers in the index, and data past its retention. */
function createLoops(
  { database, index, clock, log, metrics, settings }: DriverContextDeps,
  service: DriverService,
  store: DriverStore,
  tracks: TrackStore,
): Worker[] {
  return [
    createLoop({
      name: 'driver.offers',
      clock,
      log,
      idleMs: expireOffersEveryMs,
      step: () => service.expireOffers(),
    }),
    createLoop({
      name: 'driver.positions',
      clock,
      log,
      idleMs: sweepEveryMs,
      step: async () => (await index.sweep()).isMore,
    }),
    createSweeper({
      database,
      clock,
      log,
      metrics,
      records: [
        {
          name: 'driver_history',
          retentionMs: settings.DRIVER_HISTORY_DAYS * dayMs,
          deleteExpired: store.sweepHistory,
        },
        { name: 'trip_tracks', retentionMs: settings.TRIP_TRACK_DAYS * dayMs, deleteExpired: tracks.sweep },
      ],
    }),
  ];
}
