import { testServerVariables } from '../tools/test/environment.ts';

export type TestServerUrls = {
  readonly postgres: string;
  readonly postgresReplica: string;
  readonly geoRedis: string;
  readonly cacheRedis: string;
  readonly amqp: string;
};

/**
 * The URLs of the servers that this test run shares. Each is read when it is used, because a run starts only the
 * servers that its tests need.
 * @throws Error on access to a server that was not started: a test is never skipped for that
 */
export const testServers = (
  environment: Readonly<Record<string, string | undefined>> = process.env,
): TestServerUrls => {
  const read = (name: keyof TestServerUrls): string => {
    const variable = testServerVariables[name];
    const value = environment[variable];
    if (value !== undefined && value !== '') return value;
    throw new Error(
      `no test server: ${variable} is not set. Run \`bun run test [path …]\`, which starts the servers ` +
        'that the imports of the tests name (plain `bun test` starts none).',
    );
  };
  return {
    get postgres() {
      return read('postgres');
    },
    get postgresReplica() {
      return read('postgresReplica');
    },
    get geoRedis() {
      return read('geoRedis');
    },
    get cacheRedis() {
      return read('cacheRedis');
    },
    get amqp() {
      return read('amqp');
    },
  };
};
