import { headers } from '@contracts/common.ts';
import { KeySet } from '@contracts/people.ts';
import { RevocationsPage } from '@contracts/revocations.ts';
import { createRevocations, type RevocationSource } from '@platform/auth/revocations.ts';
import {
  createServiceCredentials,
  createServiceGuard,
  type ServiceCredentials,
} from '@platform/auth/service-tokens.ts';
import { createVerifier, type FetchKeySet, type Verifier } from '@platform/auth/verifier.ts';
import type { OperableBus } from '@platform/bus/bus.ts';
import { createRabbitBus } from '@platform/bus/rabbit.ts';
import { createDatabase, type Database } from '@platform/postgres/database.ts';
import { problem } from '@platform/problems.ts';
import {
  connectRedis,
  connectRedisCluster,
  type Redis,
  type RedisScriptClient,
} from '@platform/redis/connection.ts';
import { createOsrmRouter } from '@platform/routing/osrm.ts';
import { createStraightLineRouter, type RoadRouter } from '@platform/routing/router.ts';
import type { UpstreamFetch } from '@platform/upstream/fetch.ts';
import type { Static, TProperties, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { Runtime } from './process.ts';
import type {
  busSettings,
  cacheRedisSettings,
  databaseSettings,
  geoRedisSettings,
  positionRedisSettings,
  routingSettings,
  trustSettings,
} from './settings.ts';

// Connections to servers. A composition root opens each of them once, and they are closed with its process.

export type RuntimeWith<T extends TProperties> = Runtime<Static<ReturnType<typeof Type.Object<T>>>>;

export function openDatabase(
  { settings, clock, log, metrics, onClose }: RuntimeWith<typeof databaseSettings>,
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
}: RuntimeWith<typeof busSettings>): OperableBus {
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

export function openGeoRedis({ settings, log, onClose }: RuntimeWith<typeof geoRedisSettings>): Redis {
  return closeWithProcess(connectRedis(settings.GEO_REDIS_URL, 'geo', log), onClose);
}

/** The Redis Cluster for positions if one is configured, else the Redis of GEO_REDIS_URL. */
export function openPositionRedis(runtime: RuntimeWith<typeof positionRedisSettings>): RedisScriptClient {
  const { settings, log, onClose } = runtime;
  if (settings.POSITION_REDIS_URLS === undefined) return openGeoRedis(runtime);
  const cluster = connectRedisCluster(settings.POSITION_REDIS_URLS.split(','), 'geo', log);
  onClose(() => cluster.disconnect());
  return cluster;
}

export function openCacheRedis({ settings, log, onClose }: RuntimeWith<typeof cacheRedisSettings>): Redis {
  return closeWithProcess(connectRedis(settings.CACHE_REDIS_URL, 'cache', log), onClose);
}

function closeWithProcess(redis: Redis, onClose: Runtime['onClose']): Redis {
  onClose(() => redis.disconnect());
  return redis;
}

/** OSRM if it is configured, else estimates from straight lines with a detour factor. */
export function createRoadRouter({
  settings,
  log,
  metrics,
}: RuntimeWith<typeof routingSettings>): RoadRouter {
  const straightLineRouter = createStraightLineRouter(settings.CITY_TIME_ZONE);
  if (settings.OSRM_URL === undefined) return straightLineRouter;
  return createOsrmRouter({
    url: settings.OSRM_URL,
    timeoutMs: settings.OSRM_TIMEOUT_MS,
    snapMetresMax: settings.ROUTE_SNAP_METRES_MAX,
    fallback: straightLineRouter,
    log,
    metrics,
  });
}

/** What the user context provides to verify its tokens. */
export interface TokenTrustSources {
  keys: FetchKeySet;
  revocations: RevocationSource;
}

export function createTokenVerifier(
  { settings, clock, log, metrics }: RuntimeWith<typeof trustSettings>,
  { keys: fetchKeySet, revocations: source }: TokenTrustSources,
): Verifier {
  return createVerifier({
    clock,
    fetchKeySet,
    revocations: createRevocations({ source, clock, log, metrics }),
    issuer: settings.TOKEN_ISSUER,
    audience: settings.TOKEN_AUDIENCE,
  });
}

/** A verifier that reads the key set and the revocations from the user service. */
export const createRemoteVerifier = (
  runtime: RuntimeWith<typeof trustSettings>,
  callUser: UpstreamFetch,
): Verifier =>
  createTokenVerifier(runtime, createRemoteTrustSources(serviceCredentialsOf(runtime), callUser));

/** The credentials for calls to other services. In one process each context has its own name. */
export const serviceCredentialsOf = (
  { settings, service, clock }: RuntimeWith<typeof trustSettings>,
  name = service,
): ServiceCredentials => createServiceCredentials({ secret: settings.SERVICE_TOKEN, service: name, clock });

export const serviceGuardOf = (
  { settings, service, clock }: RuntimeWith<typeof trustSettings>,
  name = service,
) => createServiceGuard({ secret: settings.SERVICE_TOKEN, service: name, clock });

function createRemoteTrustSources(
  credentials: ServiceCredentials,
  callUser: UpstreamFetch,
): TokenTrustSources {
  const fetchJson = async (target: string, requestHeaders: Record<string, string> = {}): Promise<unknown> => {
    const call = { target, headers: requestHeaders, timeoutMs: trustTimeoutMs, isRepeatable: true };
    const response = await callUser(call);
    if (response.ok) return response.json();
    throw problem('service.unavailable', {
      cause: new Error(`the user service answered ${response.status}`),
      retryAfterSeconds: 1,
    });
  };
  return {
    keys: async () => Value.Parse(KeySet, await fetchJson('/.well-known/jwks.json')),
    async revocations({ sinceMs, afterId }) {
      const query = `sinceMs=${sinceMs}${afterId === undefined ? '' : `&afterId=${afterId}`}`;
      return Value.Parse(
        RevocationsPage,
        await fetchJson(`/internal/user/revocations?${query}`, {
          [headers.serviceToken]: credentials.tokenFor('user'),
        }),
      );
    },
  };
}

const trustTimeoutMs = 1_000;
