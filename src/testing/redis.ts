import { randomBytes } from 'node:crypto';
import { testServers } from './servers.ts';

export type TestRedisNamespace = {
  readonly geoUrl: string;
  readonly cacheUrl: string;
  /** Put it before every key: tests share the servers, never a key. Ends with a colon. */
  readonly prefix: string;
};

/** Both Redis servers and a key prefix that no other test has. */
export const testRedisNamespace = (): TestRedisNamespace => {
  const { geoRedis, cacheRedis } = testServers();
  return {
    geoUrl: geoRedis,
    cacheUrl: cacheRedis,
    prefix: `test-${randomBytes(6).toString('hex')}:`,
  };
};
