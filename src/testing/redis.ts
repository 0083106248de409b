import { randomBytes } from 'node:crypto';
import { testServers } from './servers.ts';

export type TestRedisNamespace = {
  readonly geoUrl: string;
  readonly cacheUrl: string;
  /** Prefix for all keys, because tests share the servers. Ends with a colon. */
  readonly prefix: string;
};

/** The URLs of both Redis servers and a key prefix that no other test uses. */
export const testRedisNamespace = (): TestRedisNamespace => {
  const { geoRedis, cacheRedis } = testServers();
  return {
    geoUrl: geoRedis,
    cacheUrl: cacheRedis,
    prefix: `test-${randomBytes(6).toString('hex')}:`,
  };
};
