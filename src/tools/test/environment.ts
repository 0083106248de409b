/** The kinds of server that a test can need. `postgres` includes the streaming replica, `redis` both Redis servers. */
export interface ServerNeeds {
  postgres: boolean;
  redis: boolean;
  rabbitmq: boolean;
}

/** The URLs of test servers; a server that was not started has none. */
export interface TestServerUrls {
  postgres?: string | undefined;
  postgresReplica?: string | undefined;
  geoRedis?: string | undefined;
  cacheRedis?: string | undefined;
  amqp?: string | undefined;
}

/** The environment variables through which `bun run test` passes its servers to the tests. */
export const testServerVariables = {
  postgres: 'UITGO_TEST_POSTGRES_URL',
  postgresReplica: 'UITGO_TEST_POSTGRES_REPLICA_URL',
  geoRedis: 'UITGO_TEST_GEO_REDIS_URL',
  cacheRedis: 'UITGO_TEST_CACHE_REDIS_URL',
  amqp: 'UITGO_TEST_AMQP_URL',
} as const;

const names = Object.keys(testServerVariables) as (keyof typeof testServerVariables)[];

/** The environment variables with these URLs; an empty value stands for a server that was not started. */
export const testEnvironmentOf = (urls: TestServerUrls): Record<string, string> =>
  Object.fromEntries(names.map((name) => [testServerVariables[name], urls[name] ?? '']));

/** The URLs of the servers that the user passes in the environment. */
export const readTestServerUrls = (
  environment: Readonly<Record<string, string | undefined>>,
): TestServerUrls =>
  Object.fromEntries(names.map((name) => [name, environment[testServerVariables[name]] || undefined]));

/** What is still missing of the needed servers when these URLs are given. */
export const missingNeeds = (needs: ServerNeeds, urls: TestServerUrls): ServerNeeds => ({
  postgres: needs.postgres && !(urls.postgres && urls.postgresReplica),
  redis: needs.redis && !(urls.geoRedis && urls.cacheRedis),
  rabbitmq: needs.rabbitmq && !urls.amqp,
});

/** Whether any server is needed. */
export const needsAny = ({ postgres, redis, rabbitmq }: ServerNeeds): boolean =>
  postgres || redis || rabbitmq;
