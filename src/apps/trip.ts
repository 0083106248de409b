import { createTripContext } from '@modules/trip/context.ts';
import { tripSettings } from '@modules/trip/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { instancesOf } from '@platform/upstream/settings.ts';
import { Type } from '@sinclair/typebox';
import { driverPool, fareQuotes, paymentAuthorisations } from './clients.ts';
import {
  createRouter,
  credentialsOf,
  openBus,
  openDatabase,
  remoteVerifier,
  serviceGuardOf,
} from './infrastructure.ts';
import { createRuntime, type Environment, main, type RunningProcess } from './process.ts';
import { startService } from './service.ts';
import { busSettings, databaseSettings, routingSettings, trustSettings, userUpstream } from './settings.ts';
import { openUpstreams } from './upstreams.ts';

export const tripProcessSettings = Type.Object({
  ...databaseSettings,
  ...busSettings,
  ...trustSettings,
  ...userUpstream,
  ...routingSettings,
  ...tripSettings.properties,
  DRIVER_URL: instancesOf('driver'),
  PAYMENT_URL: instancesOf('payment'),
});

/** The trip service: the trip's life, dispatch, offers, timers. */
export function startTrip(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('trip', tripProcessSettings, env);
  const { USER_URL, DRIVER_URL, PAYMENT_URL } = runtime.settings;
  const { call, workers } = openUpstreams(runtime, {
    user: USER_URL,
    driver: DRIVER_URL,
    payment: PAYMENT_URL,
  });
  const credentials = credentialsOf(runtime);
  const bus = openBus(runtime);
  const guard = createGuard(remoteVerifier(runtime, call.user));
  const trip = createTripContext({
    ...runtime,
    database: openDatabase(runtime, 'trip'),
    bus,
    router: createRouter(runtime),
    guard,
    serviceGuard: serviceGuardOf(runtime),
    drivers: driverPool(runtime, credentials, call.driver),
    quotes: fareQuotes(runtime, credentials, call.payment),
    authorisations: paymentAuthorisations(runtime, credentials, call.payment),
  });
  return startService(runtime, trip, { operators: { bus, guard }, workers });
}

if (import.meta.main) main(startTrip);
