import { startDriver } from '../apps/driver.ts';
import { startGateway } from '../apps/gateway.ts';
import { startNotification } from '../apps/notification.ts';
import { startPayment } from '../apps/payment.ts';
import type { Environment, RunningProcess } from '../apps/process.ts';
import { startTrip } from '../apps/trip.ts';
import { startUser } from '../apps/user.ts';
import { localLimits } from '../tools/local/fleet.ts';
import { createTestDatabase } from './postgres.ts';
import { testServers } from './servers.ts';
import { opsEmail, opsPassword } from './topologies.ts';

export interface RunningServices {
  services: Record<'user' | 'driver' | 'payment' | 'trip' | 'notification' | 'gateway', RunningProcess>;
  /** The secret that all services share. */
  serviceSecret: string;
  stop(): Promise<void>;
}

let startCount = 0;

/** Starts the six services of a fleet in this process, on one database. Each listens on its own port. */
export async function startServices(): Promise<RunningServices> {
  const servers = testServers();
  const database = await createTestDatabase();
  const serviceSecret = 't'.repeat(32);
  const shared: Environment = {
    ...localLimits,
    SERVICE_TOKEN: serviceSecret,
    SIGNING_KEY_SECRET: 'k'.repeat(32),
    LOG_LEVEL: 'error',
    PORT: '0',
    NAMESPACE: `s${process.pid}x${++startCount}`,
    DATABASE_URL: database.url,
    DATABASE_POOL_MAX: '4',
    GEO_REDIS_URL: servers.geoRedis,
    CACHE_REDIS_URL: servers.cacheRedis,
    AMQP_URL: servers.amqp,
    OPS_EMAIL: opsEmail,
    OPS_PASSWORD: opsPassword,
  };
  const user = await startUser(shared);
  const USER_URL = user.url;
  const driver = await startDriver({ ...shared, USER_URL });
  const DRIVER_URL = driver.url;
  const payment = await startPayment({ ...shared, USER_URL, DRIVER_URL });
  const urls = { USER_URL, DRIVER_URL, PAYMENT_URL: payment.url };
  const trip = await startTrip({ ...shared, ...urls });
  const TRIP_URL = trip.url;
  const notification = await startNotification({ ...shared, ...urls, TRIP_URL });
  const gateway = await startGateway({ ...shared, ...urls, TRIP_URL, NOTIFICATION_URL: notification.url });
  const services = { user, driver, payment, trip, notification, gateway };
  return {
    services,
    serviceSecret,
    async stop() {
      for (const service of Object.values(services).toReversed()) await service.stop();
      await database.drop();
    },
  };
}
