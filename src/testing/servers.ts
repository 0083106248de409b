import { testServerVariables } from '../tools/test/environment.ts';

export type TestServerUrls = {
  readonly postgres: string;
  readonly postgresReplica: string;
  readonly geoRedis: string;
  readonly cacheRedis: string;
  readonly amqp: string;
};

/**
 * The servers this test run shares.
 * @throws Error when the tests were started without them: a test is never skipped for that
 */
export const testServers = (
  environment: Readonly<Record<string, string | undefined>> = process.env,
): TestServerUrls => {
  const read = (name: keyof TestServerUrls): string => {
    const variable = testServerVariables[name];
    const value = environment[variable];
    if (value !== undefined && value !== '') return value;
    throw new Error(
      `no test servers: ${variable} is not set. Run \`bun run test [path …]\`, which starts them ` +
        '(plain `bun test` does not).',
    );
  };
  return {
    postgres: read('postgres'),
    postgresReplica: read('postgresReplica'),
    geoRedis: read('geoRedis'),
    cacheRedis: read('cacheRedis'),
    amqp: read('amqp'),
  };
};
