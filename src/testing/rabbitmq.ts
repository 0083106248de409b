import { randomBytes } from 'node:crypto';
import { testServers } from './servers.ts';

export type TestRabbitmqNamespace = {
  readonly url: string;
  /** Prefix for the names of all exchanges and queues. Ends with a dot. */
  readonly prefix: string;
};

/** The URL of the broker and a name prefix that no other test uses. */
export const testRabbitmqNamespace = (): TestRabbitmqNamespace => ({
  url: testServers().amqp,
  prefix: `test-${randomBytes(6).toString('hex')}.`,
});
