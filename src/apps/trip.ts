import { createTripContext } from '@modules/trip/context.ts';
import { tripSettings } from '@modules/trip/settings.ts';
import { setting } from '@platform/config.ts';
import { Type } from '@sinclair/typebox';
import { driverPool, fareQuotes } from './clients.ts';
import {
  createRouter,
  credentialsOf,
  openBus,
  openDatabase,
  remoteGuard,
  serviceGuardOf,
} from './infrastructure.ts';
import { createRuntime, type Environment, main, type RunningProcess } from './process.ts';
import { startService } from './service.ts';
import { busSettings, databaseSettings, routingSettings, trustSettings, userUrl } from './settings.ts';

export const tripProcessSettings = Type.Object({
  ...databaseSettings,
  ...busSettings,
  ...trustSettings,
  ...userUrl,
  ...routingSettings,
  ...tripSettings.properties,
  DRIVER_URL: setting.url('http|https', 'the driver service'),
  PAYMENT_URL: setting.url('http|https', 'the payment service'),
});

/** The trip service: the trip's life, dispatch, offers, timers. */
export function startTrip(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('trip', tripProcessSettings, env);
  const { DRIVER_URL, PAYMENT_URL } = runtime.settings;
  const credentials = credentialsOf(runtime);
  const bus = openBus(runtime);
  const guard = remoteGuard(runtime);
  const trip = createTripContext({
    ...runtime,
    database: openDatabase(runtime, 'trip'),
    bus,
    router: createRouter(runtime),
    guard,
    serviceGuard: serviceGuardOf(runtime),
    drivers: driverPool(runtime, credentials, { url: DRIVER_URL }),
    quotes: fareQuotes(runtime, credentials, { url: PAYMENT_URL }),
  });
  return startService(runtime, trip, { bus, guard });
}

if (import.meta.main) main(startTrip);
