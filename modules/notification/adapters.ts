import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Redis } from '@platform/redis.ts';
import type { Fanout } from './fanout/fanout.ts';
import { createMemoryFanout } from './fanout/memory.ts';
import { createRedisFanout } from './fanout/redis.ts';
import type { InboxBounds, PersonInbox } from './inbox/inbox.ts';
import { createMemoryInbox } from './inbox/memory.ts';
import { createRedisInbox } from './inbox/redis.ts';
import { createKeys } from './keys.ts';
import type { NotificationSettings } from './settings.ts';
import { createMemoryTickets } from './tickets/memory.ts';
import { createRedisTickets } from './tickets/redis.ts';
import type { Tickets } from './tickets/tickets.ts';

/** The stores of this context: all of one kind. */
export interface NotificationAdapters {
  inbox: PersonInbox;
  tickets: Tickets;
  fanout: Fanout;
}

/** Within one process: nothing survives it, and no other instance hears of anything. */
export function createMemoryAdapters(clock: Clock, settings: NotificationSettings): NotificationAdapters {
  return {
    inbox: createMemoryInbox({ ...inboxBounds(settings), clock }),
    tickets: createMemoryTickets(clock),
    fanout: createMemoryFanout(),
  };
}

export interface RedisAdaptersOptions {
  /** The geo role (`noeviction`): an evicted inbox is a lost one. */
  redis: Redis;
  /** Begins every key and channel, `uitgo:` or the like. */
  prefix: string;
  clock: Clock;
  ids: Ids;
  log: Log;
  settings: NotificationSettings;
}

/** Shared by all instances of the deployment. */
export function createRedisAdapters(options: RedisAdaptersOptions): NotificationAdapters {
  const { redis, prefix, clock, ids, log, settings } = options;
  const keys = createKeys(prefix);
  return {
    inbox: createRedisInbox({ redis, keys, ...inboxBounds(settings) }),
    tickets: createRedisTickets({ redis, keys, clock }),
    fanout: createRedisFanout({
      redis,
      keys,
      clock,
      log,
      instanceId: ids(),
      presenceTtlMs: settings.PRESENCE_SECONDS * 1000,
    }),
  };
}

const inboxBounds = (settings: NotificationSettings): InboxBounds => ({
  lengthMax: settings.INBOX_LENGTH_MAX,
  entriesTtlMs: settings.INBOX_HOURS * 3_600_000,
});
