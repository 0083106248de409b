import type { Product } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';

/** The Redis keys of the position index, all of them. */
export interface ShardKeys {
  /** hash: driver → all that is known of him, packed (see `scripts.ts`) */
  drivers: string;
  /** hash: how far the walk is that forgets silent drivers */
  sweep: string;
  /** string: written and read to see whether the shard can be */
  probe: string;
  /** sorted set: the cells that the available drivers of a product are in */
  geo: Record<Product, string>;
}

/**
 * A shard holds whole drivers, so that all that is known of one lies in one Redis Cluster slot (the
 * hash tag) and a script changes it at once. One hot city spreads over all shards.
 */
export function shardKeys(prefix: string, shard: number): ShardKeys {
  const key = (name: string) => `${prefix}driver:{p${shard}}:${name}`;
  return {
    drivers: key('drivers'),
    sweep: key('sweep'),
    probe: key('probe'),
    geo: { bike: key('geo:bike'), car: key('geo:car'), car_xl: key('geo:car_xl') },
  };
}

/** Ids are UUIDs whose tail is random: its last 32 bits spread evenly. */
export const shardOf = (driverId: DriverId, shards: number): number =>
  Number.parseInt(driverId.slice(-8), 16) % shards;
