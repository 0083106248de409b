import { PersonIdSchema } from '@contracts/ids.ts';
import { Role } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import type { Redis } from '@platform/redis/connection.ts';
import { Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { NotificationKeys } from '../keys.ts';
import type { Tickets } from './tickets.ts';

const storedTicket = TypeCompiler.Compile(
  Type.Object({
    personId: PersonIdSchema,
    role: Role,
    sessionId: Type.String(),
    sessionExpiresAtMs: Type.Number(),
    expiresAtMs: Type.Number(),
  }),
);

export interface RedisTicketsDeps {
  redis: Redis;
  keys: NotificationKeys;
  clock: Clock;
}

/** GETDEL makes tickets single-use. The clock decides about expiry; the TTL of Redis only cleans up. */
export function createRedisTickets({ redis, keys, clock }: RedisTicketsDeps): Tickets {
  return {
    async save(ticket, claims, ttlMs) {
      const stored = JSON.stringify({ ...claims, expiresAtMs: clock.nowMs() + ttlMs });
      await redis.set(keys.ticket(ticket), stored, 'PX', ttlMs);
    },
    async redeem(ticket) {
      const text = await redis.getdel(keys.ticket(ticket));
      const stored: unknown = text === null ? undefined : JSON.parse(text);
      if (!storedTicket.Check(stored) || stored.expiresAtMs <= clock.nowMs()) return undefined;
      const { personId, role, sessionId, sessionExpiresAtMs } = stored;
      return { personId, role, sessionId, sessionExpiresAtMs };
    },
  };
}
