import type { Servers } from '../servers/index.ts';

/** The environment variables by which `bun run test` hands its servers to the tests. */
export const testServerVariables = {
  postgres: 'UITGO_TEST_POSTGRES_URL',
  postgresReplica: 'UITGO_TEST_POSTGRES_REPLICA_URL',
  geoRedis: 'UITGO_TEST_GEO_REDIS_URL',
  cacheRedis: 'UITGO_TEST_CACHE_REDIS_URL',
  amqp: 'UITGO_TEST_AMQP_URL',
} as const;

/** The variables with the URLs of these servers. */
export const testEnvironmentOf = (servers: Servers): Record<string, string> => ({
  [testServerVariables.postgres]: servers.postgres?.url ?? '',
  [testServerVariables.postgresReplica]: servers.postgresReplica?.url ?? '',
  [testServerVariables.geoRedis]: servers.geoRedis?.url ?? '',
  [testServerVariables.cacheRedis]: servers.cacheRedis?.url ?? '',
  [testServerVariables.amqp]: servers.rabbitmq?.url ?? '',
});
