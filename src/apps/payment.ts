import { createPaymentContext } from '@modules/payment/context.ts';
import { createSimulatedProvider } from '@modules/payment/provider/simulated.ts';
import { paymentSettings, simulatedProviderSettings } from '@modules/payment/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { instancesSetting } from '@platform/upstream/settings.ts';
import { Type } from '@sinclair/typebox';
import { openRedisCache } from './adapters.ts';
import { createTripTracksClient } from './clients.ts';
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
  cacheRedisSettings,
  databaseSettings,
  routingSettings,
  trustSettings,
  userUpstreamSettings,
} from './settings.ts';
import { openUpstreams } from './upstreams.ts';

export const paymentProcessSettings = Type.Object({
  ...databaseSettings,
  ...busSettings,
  ...cacheRedisSettings,
  ...trustSettings,
  ...userUpstreamSettings,
  ...routingSettings,
  ...paymentSettings.properties,
  ...simulatedProviderSettings.properties,
  DRIVER_URL: instancesSetting('driver'),
});

/** Starts the payment service: quotes, fares, charges, ledger, receipts, earnings. */
export function startPayment(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('payment', paymentProcessSettings, env);
  const { USER_URL, DRIVER_URL } = runtime.settings;
  const { callers, workers } = openUpstreams(runtime, { user: USER_URL, driver: DRIVER_URL });
  const database = openDatabase(runtime, 'payment');
  const bus = openBus(runtime);
  const guard = createGuard(createRemoteVerifier(runtime, callers.user));
  const payment = createPaymentContext({
    ...runtime,
    database,
    bus,
    cache: openRedisCache(runtime),
    provider: createSimulatedProvider({ ...runtime, database }),
    tracks: createTripTracksClient(runtime, serviceCredentialsOf(runtime), callers.driver),
    router: createRoadRouter(runtime),
    guard,
    serviceGuard: serviceGuardOf(runtime),
  });
  return startService(runtime, payment, { operatorRoutes: { bus, guard }, workers });
}

if (import.meta.main) main(startPayment);
