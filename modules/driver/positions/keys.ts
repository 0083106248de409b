import type { Product } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';

/** The Redis keys of the position index, all of them. */
export interface ShardKeys {
  /** hash: driver → what the database says of him, `version:checkedAtMs:availability:product` */
  standings: string;
  /** hash: driver → his last position, `recordedAtMs:lat:lng`, exact */
  fixes: string;
  /** hash: driver → who asks him, `untilMs:tripId` */
  holds: string;
  /** sorted set: driver by the ms when he was last heard of: what the sweep reads */
  heard: string;
  /** geo set: where the available drivers of a product are (to about 0.5 m) */
  geo: Record<Product, string>;
}

/**
 * A shard holds whole drivers, so that all that is known of one lies in one Redis Cluster slot (the
 * hash tag) and a script changes it at once. One hot city spreads over all shards.
 */
export function shardKeys(prefix: string, shard: number): ShardKeys {
  const key = (name: string) => `${prefix}driver:{p${shard}}:${name}`;
  return {
    standings: key('standings'),
    fixes: key('fixes'),
    holds: key('holds'),
    heard: key('heard'),
    geo: { bike: key('geo:bike'), car: key('geo:car'), car_xl: key('geo:car_xl') },
  };
}

/** Ids are UUIDs whose tail is random: its last 32 bits spread evenly. */
export const shardOf = (driverId: DriverId, shards: number): number =>
  Number.parseInt(driverId.slice(-8), 16) % shards;
