import { createNotificationContext } from '@modules/notification/context.ts';
import { gatherPositions } from '@modules/notification/live/positions.ts';
import { notificationSettings } from '@modules/notification/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { instancesOf } from '@platform/upstream/settings.ts';
import { Type } from '@sinclair/typebox';
import { realRealtime } from './adapters.ts';
import { activeTrips, positionCalls } from './clients.ts';
import { credentialsOf, openBus, remoteVerifier } from './infrastructure.ts';
import { createRuntime, type Environment, main, type RunningProcess } from './process.ts';
import { startService } from './service.ts';
import { busSettings, geoRedisSettings, trustSettings, userUpstream } from './settings.ts';
import { openUpstreams } from './upstreams.ts';

export const notificationProcessSettings = Type.Object({
  ...busSettings,
  ...geoRedisSettings,
  ...trustSettings,
  ...userUpstream,
  ...notificationSettings.properties,
  DRIVER_URL: instancesOf('driver'),
  TRIP_URL: instancesOf('trip'),
});

/** The notification service: live connections, one inbox a person. */
export function startNotification(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('notification', notificationProcessSettings, env);
  const { USER_URL, DRIVER_URL, TRIP_URL } = runtime.settings;
  const { call, workers } = openUpstreams(runtime, { user: USER_URL, driver: DRIVER_URL, trip: TRIP_URL });
  const credentials = credentialsOf(runtime);
  const bus = openBus(runtime);
  const verifier = remoteVerifier(runtime, call.user);
  const guard = createGuard(verifier);
  const notification = createNotificationContext({
    ...runtime,
    ...realRealtime(runtime),
    bus,
    positions: gatherPositions({
      ...runtime,
      calls: positionCalls(runtime, credentials, call.driver),
      windowMs: runtime.settings.SOCKET_POSITION_WINDOW_MS,
    }),
    trips: activeTrips(runtime, credentials, call.trip),
    guard,
    endedSessions: verifier.endedSessions,
  });
  return startService(runtime, notification, { operators: { bus, guard }, workers });
}

if (import.meta.main) main(startNotification);
