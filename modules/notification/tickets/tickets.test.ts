import { afterAll, describe, expect, test } from 'bun:test';
import type { PersonId } from '@contracts/ids.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { createLog } from '@platform/log.ts';
import { connectRedis, waitForRedis } from '@platform/redis/connection.ts';
import { testRedisNamespace } from '@testing/redis.ts';
import { createNotificationKeys } from '../keys.ts';
import { createMemoryTickets } from './memory.ts';
import { createRedisTickets } from './redis.ts';
import type { TicketClaims, Tickets } from './tickets.ts';

const { geoUrl, prefix } = testRedisNamespace();
const redis = connectRedis(geoUrl, 'geo', createLog('silent'));
await waitForRedis(redis, 5_000);
afterAll(() => redis.disconnect());

const claims: TicketClaims = {
  personId: '00000000-0000-7000-8000-000000000001' as PersonId,
  role: 'driver',
  sessionId: '00000000-0000-7000-8000-000000000002',
  sessionExpiresAtMs: 1_763_800_900_000,
};

ticketsContract('in memory', createMemoryTickets);
let stores = 0;
ticketsContract('in Redis', (clock) =>
  createRedisTickets({ redis, clock, keys: createNotificationKeys(`${prefix}${++stores}:`) }),
);

/** The contract that every ticket store must satisfy. */
function ticketsContract(name: string, create: (clock: ManualClock) => Tickets) {
  describe(`tickets ${name}`, () => {
    const setUp = () => {
      const clock = createManualClock(1_763_800_000_000);
      return { clock, tickets: create(clock) };
    };

    test('a ticket returns its claims once', async () => {
      const { tickets } = setUp();
      await tickets.save('one', claims, 30_000);
      expect(await tickets.redeem('one')).toEqual(claims);
      expect(await tickets.redeem('one')).toBeUndefined();
    });

    test('only one of many concurrent uses of a ticket succeeds', async () => {
      const { tickets } = setUp();
      await tickets.save('one', claims, 30_000);
      const answers = await Promise.all(Array.from({ length: 20 }, () => tickets.redeem('one')));
      expect(answers.filter((answer) => answer !== undefined)).toEqual([claims]);
    });

    test('an unknown ticket returns nothing', async () => {
      const { tickets } = setUp();
      await tickets.save('one', claims, 30_000);
      expect(await tickets.redeem('two')).toBeUndefined();
      expect(await tickets.redeem('')).toBeUndefined();
    });

    test('an expired ticket returns nothing', async () => {
      const { clock, tickets } = setUp();
      await tickets.save('one', claims, 30_000);
      await clock.advance(30_000);
      expect(await tickets.redeem('one')).toBeUndefined();
    });

    test('tickets of the same person do not invalidate each other', async () => {
      const { clock, tickets } = setUp();
      await tickets.save('one', claims, 30_000);
      await clock.advance(20_000);
      await tickets.save('two', { ...claims, role: 'rider' }, 30_000);
      await clock.advance(20_000);
      expect(await tickets.redeem('one')).toBeUndefined();
      expect(await tickets.redeem('two')).toEqual({ ...claims, role: 'rider' });
    });
  });
}
