import { createPaymentContext } from '@modules/payment/context.ts';
import { createSimulatedProvider } from '@modules/payment/provider-simulated.ts';
import { paymentSettings, simulatedProviderSettings } from '@modules/payment/settings.ts';
import { setting } from '@platform/config.ts';
import { Type } from '@sinclair/typebox';
import { realCache } from './adapters.ts';
import { tripTracks } from './clients.ts';
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
import {
  busSettings,
  cacheRedisSettings,
  databaseSettings,
  routingSettings,
  trustSettings,
  userUrl,
} from './settings.ts';

export const paymentProcessSettings = Type.Object({
  ...databaseSettings,
  ...busSettings,
  ...cacheRedisSettings,
  ...trustSettings,
  ...userUrl,
  ...routingSettings,
  ...paymentSettings.properties,
  ...simulatedProviderSettings.properties,
  DRIVER_URL: setting.url('http|https', 'the driver service'),
});

/** The payment service: quotes, fares, charges, ledger, receipts, earnings. */
export function startPayment(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('payment', paymentProcessSettings, env);
  const database = openDatabase(runtime, 'payment');
  const bus = openBus(runtime);
  const guard = remoteGuard(runtime);
  const payment = createPaymentContext({
    ...runtime,
    database,
    bus,
    cache: realCache(runtime),
    provider: createSimulatedProvider({ ...runtime, database }),
    tracks: tripTracks(runtime, credentialsOf(runtime), { url: runtime.settings.DRIVER_URL }),
    router: createRouter(runtime),
    guard,
    serviceGuard: serviceGuardOf(runtime),
  });
  return startService(runtime, payment, { bus, guard });
}

if (import.meta.main) main(startPayment);
