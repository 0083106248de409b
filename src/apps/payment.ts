import { createPaymentContext } from '@modules/payment/context.ts';
import { createSimulatedProvider } from '@modules/payment/provider-simulated.ts';
import { paymentSettings, simulatedProviderSettings } from '@modules/payment/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { instancesOf } from '@platform/upstream/settings.ts';
import { Type } from '@sinclair/typebox';
import { realCache } from './adapters.ts';
import { tripTracks } from './clients.ts';
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
import {
  busSettings,
  cacheRedisSettings,
  databaseSettings,
  routingSettings,
  trustSettings,
  userUpstream,
} from './settings.ts';
import { openUpstreams } from './upstreams.ts';

export const paymentProcessSettings = Type.Object({
  ...databaseSettings,
  ...busSettings,
  ...cacheRedisSettings,
  ...trustSettings,
  ...userUpstream,
  ...routingSettings,
  ...paymentSettings.properties,
  ...simulatedProviderSettings.properties,
  DRIVER_URL: instancesOf('driver'),
});

/** The payment service: quotes, fares, charges, ledger, receipts, earnings. */
export function startPayment(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('payment', paymentProcessSettings, env);
  const { USER_URL, DRIVER_URL } = runtime.settings;
  const { call, workers } = openUpstreams(runtime, { user: USER_URL, driver: DRIVER_URL });
  const database = openDatabase(runtime, 'payment');
  const bus = openBus(runtime);
  const guard = createGuard(remoteVerifier(runtime, call.user));
  const payment = createPaymentContext({
    ...runtime,
    database,
    bus,
    cache: realCache(runtime),
    provider: createSimulatedProvider({ ...runtime, database }),
    tracks: tripTracks(runtime, credentialsOf(runtime), call.driver),
    router: createRouter(runtime),
    guard,
    serviceGuard: serviceGuardOf(runtime),
  });
  return startService(runtime, payment, { operators: { bus, guard }, workers });
}

if (import.meta.main) main(startPayment);
