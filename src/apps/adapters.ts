import type { Followers } from '@modules/driver/ports.ts';
import type { PositionIndex } from '@modules/driver/positions/index.ts';
import { createMemoryPositionIndex } from '@modules/driver/positions/memory.ts';
import { createRedisPositionIndex } from '@modules/driver/positions/redis.ts';
import { type DriverSettings, positionRulesOf } from '@modules/driver/settings.ts';
import type { RateLimits } from '@modules/gateway/limits/limits.ts';
import { createMemoryLimits } from '@modules/gateway/limits/memory.ts';
import { createRedisLimits } from '@modules/gateway/limits/redis.ts';
import type { Fanout } from '@modules/notification/fanout/fanout.ts';
import {
  createMemoryFanout,
  createMemoryFanoutHub,
  createMemoryTransientFrames,
} from '@modules/notification/fanout/memory.ts';
import { createRedisFanout } from '@modules/notification/fanout/redis.ts';
import { createRedisTransientFrames } from '@modules/notification/fanout/redis-transient-frames.ts';
import { createMemoryTripFollowers } from '@modules/notification/followers/memory.ts';
import { createPositionSender } from '@modules/notification/followers/position-sender.ts';
import { createRedisTripFollowers } from '@modules/notification/followers/redis.ts';
import type { TripFollowers } from '@modules/notification/followers/trip-followers.ts';
import type { PersonInbox } from '@modules/notification/inbox/inbox.ts';
import { createMemoryInbox } from '@modules/notification/inbox/memory.ts';
import { createRedisInbox } from '@modules/notification/inbox/redis.ts';
import { createNotificationKeys } from '@modules/notification/keys.ts';
import type { NotificationSettings } from '@modules/notification/settings.ts';
import { createMemoryTickets } from '@modules/notification/tickets/memory.ts';
import { createRedisTickets } from '@modules/notification/tickets/redis.ts';
import type { Tickets } from '@modules/notification/tickets/tickets.ts';
import type { OperableBus } from '@platform/bus/bus.ts';
import { createMemoryBus } from '@platform/bus/memory.ts';
import type { Cache } from '@platform/cache/cache.ts';
import { createMemoryCache } from '@platform/cache/memory.ts';
import { createRedisCache } from '@platform/cache/redis.ts';
import {
  openBus,
  openCacheRedis,
  openGeoRedis,
  openPositionRedis,
  type RuntimeWith,
} from './infrastructure.ts';
import type { Runtime } from './process.ts';
import type { busSettings, cacheRedisSettings, geoRedisSettings, positionRedisSettings } from './settings.ts';

/** The adapters that serve live connections: inboxes, tickets, fan-out between instances, and trip followers. */
export interface RealtimeAdapters {
  inbox: PersonInbox;
  tickets: Tickets;
  fanout: Fanout;
  tripFollowers: TripFollowers;
}

/** One adapter for each port that needs another server than PostgreSQL. */
export interface Adapters extends RealtimeAdapters {
  bus: OperableBus;
  cache: Cache;
  limits: RateLimits;
  index: PositionIndex;
  followers: Followers;
}

const hourMs = 3_600_000;
const cacheEntriesMax = 100_000;

/** Adapters in the memory of this process, for a laptop, tests and simulation. */
export function createEmbeddedAdapters(runtime: Runtime<DriverSettings & NotificationSettings>): Adapters {
  const { settings, clock, random, log } = runtime;
  const hub = createMemoryFanoutHub();
  const tripFollowers = createMemoryTripFollowers(clock);
  return {
    bus: createMemoryBus({ clock, random, log }),
    cache: createMemoryCache({ clock, entriesMax: cacheEntriesMax }),
    limits: createMemoryLimits(clock),
    index: createMemoryPositionIndex({ clock, ...positionRulesOf(settings) }),
    inbox: createMemoryInbox({
      clock,
      hub,
      lengthMax: settings.INBOX_LENGTH_MAX,
      entriesTtlMs: settings.INBOX_HOURS * hourMs,
    }),
    tickets: createMemoryTickets(clock),
    fanout: createMemoryFanout(hub),
    tripFollowers,
    followers: createPositionSender({ tripFollowers, transientFrames: createMemoryTransientFrames(hub) }),
  };
}

/** Adapters on Redis and RabbitMQ, shared by all instances. */
export function createServerAdapters(
  runtime: RuntimeWith<typeof busSettings & typeof positionRedisSettings & typeof cacheRedisSettings> &
    Runtime<DriverSettings & NotificationSettings>,
): Adapters {
  return {
    bus: openBus(runtime),
    cache: openRedisCache(runtime),
    limits: openRedisLimits(runtime),
    index: openRedisPositionIndex(runtime),
    followers: openRedisFollowers(runtime),
    ...openRedisRealtime(runtime),
  };
}

const keyPrefix = ({ settings }: Runtime) => `${settings.NAMESPACE}:`;

export const openRedisCache = (runtime: RuntimeWith<typeof cacheRedisSettings>): Cache =>
  createRedisCache({ ...runtime, redis: openCacheRedis(runtime), prefix: keyPrefix(runtime) });

export const openRedisLimits = (runtime: RuntimeWith<typeof cacheRedisSettings>): RateLimits =>
  createRedisLimits(openCacheRedis(runtime), keyPrefix(runtime), runtime.clock, runtime.log);

export const openRedisPositionIndex = (
  runtime: RuntimeWith<typeof positionRedisSettings> & Runtime<DriverSettings>,
): PositionIndex =>
  createRedisPositionIndex({
    redis: openPositionRedis(runtime),
    prefix: keyPrefix(runtime),
    shards: runtime.settings.POSITION_SHARDS,
    clock: runtime.clock,
    ...positionRulesOf(runtime.settings),
  });

/** Sends positions over the Redis of the notification context, so that the driver service needs no address of it. */
export function openRedisFollowers(runtime: RuntimeWith<typeof geoRedisSettings>): Followers {
  const redis = openGeoRedis(runtime);
  const keys = createNotificationKeys(keyPrefix(runtime));
  return createPositionSender({
    tripFollowers: createRedisTripFollowers(redis, keys),
    transientFrames: createRedisTransientFrames(redis, keys, runtime.clock),
  });
}

export function openRedisRealtime(
  runtime: RuntimeWith<typeof geoRedisSettings> & Runtime<NotificationSettings>,
): RealtimeAdapters {
  const { settings, clock, log, ids } = runtime;
  const redis = openGeoRedis(runtime);
  const keys = createNotificationKeys(keyPrefix(runtime));
  return {
    inbox: createRedisInbox({
      redis,
      keys,
      lengthMax: settings.INBOX_LENGTH_MAX,
      entriesTtlMs: settings.INBOX_HOURS * hourMs,
    }),
    tickets: createRedisTickets({ redis, keys, clock }),
    tripFollowers: createRedisTripFollowers(redis, keys),
    fanout: createRedisFanout({
      redis,
      keys,
      clock,
      log,
      instanceId: ids<string>(),
      presenceTtlMs: settings.PRESENCE_SECONDS * 1_000,
    }),
  };
}
