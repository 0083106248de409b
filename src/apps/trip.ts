import { createTripContext } from '@modules/trip/context.ts';
import { tripSettings } from '@modules/trip/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { instancesSetting } from '@platform/upstream/settings.ts';
import { Type } from '@sinclair/typebox';
import {
  createDriverPoolClient,
  createFareQuotesClient,
  createPaymentAuthorisationsClient,
} from './clients.ts';
import {
  createRemoteVerifier,
  createRoadRouter,
  openBus,
  openDatabase,
  serviceCredentialsOf,
  serviceGuardOf,
} from './infrastructure.ts';
import { createRuntime, type Environment, main, type RunningProcess } from './process.ts';
import { startService } from './service.ts';
import {
  busSettings,
  databaseSettings,
  routingSettings,
  trustSettings,
  userUpstreamSettings,
} from './settings.ts';
import { openUpstreams } from './upstreams.ts';

export const tripProcessSettings = Type.Object({
  ...databaseSettings,
  ...busSettings,
  ...trustSettings,
  ...userUpstreamSettings,
  ...routingSettings,
  ...tripSettings.properties,
  DRIVER_URL: instancesSetting('driver'),
  PAYMENT_URL: instancesSetting('payment'),
});

/** Starts the trip service: trips, dispatch, offers, timers. */
export function startTrip(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('trip', tripProcessSettings, env);
  const { USER_URL, DRIVER_URL, PAYMENT_URL } = runtime.settings;
  const { callers, workers } = openUpstreams(runtime, {
    user: USER_URL,
    driver: DRIVER_URL,
    payment: PAYMENT_URL,
  });
  const credentials = serviceCredentialsOf(runtime);
  const bus = openBus(runtime);
  const guard = createGuard(createRemoteVerifier(runtime, callers.user));
  const trip = createTripContext({
    ...runtime,
    database: openDatabase(runtime, 'trip'),
    bus,
    router: createRoadRouter(runtime),
    guard,
    serviceGuard: serviceGuardOf(runtime),
    drivers: createDriverPoolClient(runtime, credentials, callers.driver),
    quotes: createFareQuotesClient(runtime, credentials, callers.payment),
    authorisations: createPaymentAuthorisationsClient(runtime, credentials, callers.payment),
  });
  return startService(runtime, trip, { operatorRoutes: { bus, guard }, workers });
}

if (import.meta.main) main(startTrip);
