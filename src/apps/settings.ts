import { setting } from '@platform/config.ts';
import { instancesSetting, upstreamSettings } from '@platform/upstream/settings.ts';
import { type Static, Type } from '@sinclair/typebox';

/** The settings of every process. The names are environment variables. */
export const processSettings = Type.Object({
  HOST: setting.text('the address to listen on', { default: '127.0.0.1' }),
  PORT: setting.integer('the port to listen on, 0 for any free one', 0, 65_535, 8080),
  REUSE_PORT: setting.choice('share the port with other processes of the same kind', ['no', 'yes'], 'no'),
  NAMESPACE: setting.text('the prefix of exchanges and keys of this deployment', { default: 'uitgo' }),
  LOG_LEVEL: setting.choice(
    'the lowest level that is logged',
    ['debug', 'info', 'warn', 'error', 'silent'],
    'info',
  ),
  REQUEST_TIMEOUT_MS: setting.integer('the time a request may take in milliseconds', 100, 120_000, 10_000),
  BODY_BYTES_MAX: setting.integer('the largest request body in bytes', 1_024, 10_485_760, 65_536),
  FRAME_BYTES_MAX: setting.integer('the largest WebSocket frame in bytes', 1_024, 1_048_576, 16_384),
  SOCKET_BUFFER_BYTES_MAX: setting.integer(
    'bytes that may be buffered for a slow socket before it is closed',
    16_384,
    67_108_864,
    1_048_576,
  ),
  SHUTDOWN_GRACE_MS: setting.integer(
    'milliseconds that requests in flight have to finish at shutdown',
    0,
    120_000,
    10_000,
  ),
});
export type ProcessSettings = Static<typeof processSettings>;

export const databaseSettings = {
  DATABASE_URL: setting.url('postgres|postgresql', 'the PostgreSQL primary'),
  DATABASE_REPLICA_URL: Type.Optional(setting.url('postgres|postgresql', 'a PostgreSQL read replica')),
  DATABASE_POOL_MAX: setting.integer('connections of one process to one PostgreSQL server', 1, 128, 64),
  DATABASE_LIFETIME_MINUTES: setting.integer('minutes after which a connection is replaced', 1, 1_440, 30),
  DATABASE_CONNECT_TIMEOUT_SECONDS: setting.integer('seconds that a connection may take to open', 1, 30, 3),
  STATEMENT_TIMEOUT_MS: setting.integer('the time a statement may take in milliseconds', 100, 60_000, 5_000),
  SLOW_QUERY_MS: setting.integer(
    'milliseconds from which a statement is logged as slow, including the wait for a connection',
    1,
    60_000,
    200,
  ),
  REPLICA_WAIT_MS: setting.integer(
    'milliseconds that a read waits for the replica to catch up before it goes to the primary',
    0,
    1_000,
    20,
  ),
  REPLICA_TIMEOUT_MS: setting.integer(
    'milliseconds without an answer after which the replica counts as unavailable',
    50,
    10_000,
    500,
  ),
  REPLICA_STALE_MS_MAX: setting.integer(
    'milliseconds that a read with a read consistency token may lag behind writes of others',
    0,
    60_000,
    1_000,
  ),
};

export const busSettings = { AMQP_URL: setting.url('amqp|amqps', 'the RabbitMQ broker') };

export const geoRedisSettings = {
  GEO_REDIS_URL: setting.url('redis|rediss', 'the Redis for positions, presence and inboxes (noeviction)'),
};

export const positionRedisSettings = {
  ...geoRedisSettings,
  POSITION_REDIS_URLS: Type.Optional(
    setting.urls(
      'redis|rediss',
      'nodes of a Redis Cluster that holds the positions, separated by commas; without it positions are in GEO_REDIS_URL',
    ),
  ),
};

export const cacheRedisSettings = {
  CACHE_REDIS_URL: setting.url('redis|rediss', 'the Redis for caches and limits (allkeys-lru)'),
};

/** How services authenticate one another, and which access tokens they accept. */
export const trustSettings = {
  SERVICE_TOKEN: Type.String({
    pattern: '^[^,]{32,}(,[^,]{32,})*$',
    description:
      'a secret of at least 32 characters that only the services share; while it is rotated, several separated by commas: the first one signs, all are accepted',
  }),
  TOKEN_ISSUER: setting.text('the issuer of access tokens', { default: 'uit-go' }),
  TOKEN_AUDIENCE: setting.text('the audience of access tokens', { default: 'uit-go' }),
};

/** Where every service reads the key set and the revoked sessions that it needs to verify tokens. */
export const userUpstreamSettings = { ...upstreamSettings, USER_URL: instancesSetting('user') };

export const routingSettings = {
  CITY_TIME_ZONE: {
    ...setting.timeZone("the city's time zone", 'Asia/Ho_Chi_Minh'),
    formerName: 'CITY_UTC_OFFSET_HOURS',
  },
  OSRM_URL: Type.Optional(setting.url('http|https', 'an OSRM server for road estimates')),
  OSRM_TIMEOUT_MS: setting.integer('the timeout of a request to OSRM in milliseconds', 10, 5_000, 300),
  ROUTE_SNAP_METRES_MAX: setting.integer(
    'metres that OSRM may move a point to the nearest road',
    1,
    10_000,
    300,
  ),
};
