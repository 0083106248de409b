import { KeySet } from '@contracts/people.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { createVerifier, type KeySource, type Verifier } from '@platform/auth/verifier.ts';
import type { OperableBus } from '@platform/bus/bus.ts';
import { createRabbitBus } from '@platform/bus/rabbit.ts';
import { createDatabase, type Database } from '@platform/postgres/database.ts';
import { connectRedis, type Redis } from '@platform/redis.ts';
import { createOsrmRouter, createStraightRouter, type Router } from '@platform/routing.ts';
import type { Static, TProperties, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Runtime } from './process.ts';
import type {
  busSettings,
  cacheRedisSettings,
  databaseSettings,
  geoRedisSettings,
  routingSettings,
  trustSettings,
  userUrl,
} from './settings.ts';

// Connections to servers, each opened once by a composition root and closed with its process.

export type Needs<T extends TProperties> = Runtime<Static<ReturnType<typeof Type.Object<T>>>>;

export function openDatabase(
  { settings, clock, log, metrics, onClose }: Needs<typeof databaseSettings>,
  schema: string,
): Database {
  const database = createDatabase({
    url: settings.DATABASE_URL,
    replicaUrl: settings.DATABASE_REPLICA_URL,
    schema,
    poolMax: settings.DATABASE_POOL_MAX,
    statementTimeoutMs: settings.STATEMENT_TIMEOUT_MS,
    connectTimeoutSeconds: settings.DATABASE_CONNECT_TIMEOUT_SECONDS,
    lifetimeMinutes: settings.DATABASE_LIFETIME_MINUTES,
    slowQueryMs: settings.SLOW_QUERY_MS,
    replica: {
      waitMs: settings.REPLICA_WAIT_MS,
      timeoutMs: settings.REPLICA_TIMEOUT_MS,
      staleMsMax: settings.REPLICA_STALE_MS_MAX,
    },
    clock,
    log,
    metrics,
  });
  onClose(() => database.close());
  return database;
}

export function openBus({
  settings,
  clock,
  random,
  log,
  metrics,
  onClose,
}: Needs<typeof busSettings>): OperableBus {
  const bus = createRabbitBus({
    url: settings.AMQP_URL,
    namespace: settings.NAMESPACE,
    clock,
    random,
    log,
    metrics,
  });
  onClose(() => bus.close());
  return bus;
}

export function openGeoRedis({ settings, log, onClose }: Needs<typeof geoRedisSettings>): Redis {
  return closing(connectRedis(settings.GEO_REDIS_URL, 'geo', log), onClose);
}

export function openCacheRedis({ settings, log, onClose }: Needs<typeof cacheRedisSettings>): Redis {
  return closing(connectRedis(settings.CACHE_REDIS_URL, 'cache', log), onClose);
}

function closing(redis: Redis, onClose: Runtime['onClose']): Redis {
  onClose(() => redis.disconnect());
  return redis;
}

/** OSRM where one is given, else straight lines with a detour. */
export function createRouter({ settings, log }: Needs<typeof routingSettings>): Router {
  const straight = createStraightRouter(settings.CITY_UTC_OFFSET_HOURS);
  if (settings.OSRM_URL === undefined) return straight;
  return createOsrmRouter(settings.OSRM_URL, settings.OSRM_TIMEOUT_MS, straight, log);
}

export function createTokenVerifier(
  { settings, clock }: Needs<typeof trustSettings>,
  keys: KeySource,
): Verifier {
  return createVerifier({ clock, keys, issuer: settings.TOKEN_ISSUER, audience: settings.TOKEN_AUDIENCE });
}

/** Verifies with the key set that the user service publishes. */
export const remoteVerifier = (runtime: Needs<typeof trustSettings & typeof userUrl>): Verifier =>
  createTokenVerifier(runtime, () => fetchKeys(runtime.settings.USER_URL));

export const remoteGuard = (runtime: Needs<typeof trustSettings & typeof userUrl>) =>
  createGuard(remoteVerifier(runtime));

const keysTimeoutMs = 2_000;

async function fetchKeys(userServiceUrl: string): Promise<KeySet> {
  const response = await fetch(`${userServiceUrl}/.well-known/jwks.json`, {
    signal: AbortSignal.timeout(keysTimeoutMs),
  });
  return Value.Parse(KeySet, await response.json());
}
