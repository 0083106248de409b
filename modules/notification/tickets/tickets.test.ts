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

const holder: TicketClaims = {
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

/** What every store of tickets promises. */
function ticketsContract(name: string, create: (clock: ManualClock) => Tickets) {
  describe(`tickets ${name}`, () => {
    const setUp = () => {
      const clock = createManualClock(1_763_800_000_000);
      return { clock, tickets: create(clock) };
    };

    test('a ticket lets its holder in once', async () => {
      const { tickets } = setUp();
      await tickets.save('one', holder, 30_000);
      expect(await tickets.redeem('one')).toEqual(holder);
      expect(await tickets.redeem('one')).toBeUndefined();
    });

    test('of many who use a ticket at the same time one gets in', async () => {
      const { tickets } = setUp();
      await tickets.save('one', holder, 30_000);
      const answers = await Promise.all(Array.from({ length: 20 }, () => tickets.redeem('one')));
      expect(answers.filter((answer) => answer !== undefined)).toEqual([holder]);
    });

    test('an unknown ticket lets nobody in', async () => {
      const { tickets } = setUp();
      await tickets.save('one', holder, 30_000);
      expect(await tickets.redeem('two')).toBeUndefined();
      expect(await tickets.redeem('')).toBeUndefined();
    });

    test('a ticket lets nobody in after its time', async () => {
      const { clock, tickets } = setUp();
      await tickets.save('one', holder, 30_000);
      await clock.advance(30_000);
      expect(await tickets.redeem('one')).toBeUndefined();
    });

    test('tickets of the same person do not end one another', async () => {
      const { clock, tickets } = setUp();
      await tickets.save('one', holder, 30_000);
      await clock.advance(20_000);
      await tickets.save('two', { ...holder, role: 'rider' }, 30_000);
      await clock.advance(20_000);
      expect(await tickets.redeem('one')).toBeUndefined();
      expect(await tickets.redeem('two')).toEqual({ ...holder, role: 'rider' });
    });
  });
}
