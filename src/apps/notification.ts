import { createNotificationContext } from '@modules/notification/context.ts';
import { createPositionBatcher } from '@modules/notification/live/position-batcher.ts';
import { notificationSettings } from '@modules/notification/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { instancesSetting } from '@platform/upstream/settings.ts';
import { Type } from '@sinclair/typebox';
import { openRedisRealtime } from './adapters.ts';
import { createActiveTripsClient, createPositionBatchClient } from './clients.ts';
import { createRemoteVerifier, openBus, serviceCredentialsOf } from './infrastructure.ts';
import { createRuntime, type Environment, main, type RunningProcess } from './process.ts';
import { startService } from './service.ts';
import { busSettings, geoRedisSettings, trustSettings, userUpstreamSettings } from './settings.ts';
import { openUpstreams } from './upstreams.ts';

export const notificationProcessSettings = Type.Object({
  ...busSettings,
  ...geoRedisSettings,
  ...trustSettings,
  ...userUpstreamSettings,
  ...notificationSettings.properties,
  DRIVER_URL: instancesSetting('driver'),
  TRIP_URL: instancesSetting('trip'),
});

/** Starts the notification service: live connections, and an inbox for each person. */
export function startNotification(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('notification', notificationProcessSettings, env);
  const { USER_URL, DRIVER_URL, TRIP_URL } = runtime.settings;
  const { callers, workers } = openUpstreams(runtime, { user: USER_URL, driver: DRIVER_URL, trip: TRIP_URL });
  const credentials = serviceCredentialsOf(runtime);
  const bus = openBus(runtime);
  const verifier = createRemoteVerifier(runtime, callers.user);
  const guard = createGuard(verifier);
  const notification = createNotificationContext({
    ...runtime,
    ...openRedisRealtime(runtime),
    bus,
    positions: createPositionBatcher({
      ...runtime,
      client: createPositionBatchClient(runtime, credentials, callers.driver),
      windowMs: runtime.settings.SOCKET_POSITION_WINDOW_MS,
    }),
    trips: createActiveTripsClient(runtime, credentials, callers.trip),
    guard,
    endedSessions: verifier.loadRevokedSessions,
  });
  return startService(runtime, notification, { operatorRoutes: { bus, guard }, workers });
}

if (import.meta.main) main(startNotification);
