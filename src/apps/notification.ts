import { createNotificationContext } from '@modules/notification/context.ts';
import { gatherPositions } from '@modules/notification/live/positions.ts';
import { notificationSettings } from '@modules/notification/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { setting } from '@platform/config.ts';
import { Type } from '@sinclair/typebox';
import { realRealtime } from './adapters.ts';
import { activeTrips, positionCalls } from './clients.ts';
import { credentialsOf, openBus, remoteServiceVerifier } from './infrastructure.ts';
import { createRuntime, type Environment, main, type RunningProcess } from './process.ts';
import { startService } from './service.ts';
import { busSettings, geoRedisSettings, trustSettings, userUrl } from './settings.ts';

export const notificationProcessSettings = Type.Object({
  ...busSettings,
  ...geoRedisSettings,
  ...trustSettings,
  ...userUrl,
  ...notificationSettings.properties,
  DRIVER_URL: setting.url('http|https', 'the driver service'),
  TRIP_URL: setting.url('http|https', 'the trip service'),
});

/** The notification service: live connections, one inbox a person. */
export function startNotification(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('notification', notificationProcessSettings, env);
  const { DRIVER_URL, TRIP_URL } = runtime.settings;
  const credentials = credentialsOf(runtime);
  const bus = openBus(runtime);
  const verifier = remoteServiceVerifier(runtime);
  const guard = createGuard(verifier);
  const notification = createNotificationContext({
    ...runtime,
    ...realRealtime(runtime),
    bus,
    positions: gatherPositions({
      ...runtime,
      calls: positionCalls(runtime, credentials, { url: DRIVER_URL }),
      windowMs: runtime.settings.SOCKET_POSITION_WINDOW_MS,
    }),
    trips: activeTrips(runtime, credentials, { url: TRIP_URL }),
    guard,
    endedSessions: verifier.endedSessions,
  });
  return startService(runtime, notification, { bus, guard });
}

if (import.meta.main) main(startNotification);
