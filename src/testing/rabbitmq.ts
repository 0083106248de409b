import { randomBytes } from 'node:crypto';
import { testServers } from './servers.ts';

export type TestRabbitmqNamespace = {
  readonly url: string;
  /** Put it before the name of every exchange and queue. Ends with a dot. */
  readonly prefix: string;
};

/** The broker and a prefix for exchanges and queues that no other test has. */
export const testRabbitmqNamespace = (): TestRabbitmqNamespace => ({
  url: testServers().amqp,
  prefix: `test-${randomBytes(6).toString('hex')}.`,
});
