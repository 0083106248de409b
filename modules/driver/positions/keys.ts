import { type Product, type ProductTable, productsOf } from '@contracts/drivers.ts';
import type { DriverId } from '@contracts/ids.ts';

/** All Redis keys of one shard of the position index. */
export interface ShardKeys {
  /** Hash: driver id → the driver's encoded state (see `scripts.ts`). */
  drivers: string;
  /** Hash: the cursor and start time of the scan that removes silent drivers. */
  sweep: string;
  /** String: written and read to check that the shard works. */
  probe: string;
  /** Sorted sets: the cells of the available drivers, one set for each product. */
  geo: Record<Product, string>;
  /** The keys `drivers` and all of `geo`, in the order of the products: what most scripts take. */
  driversAndGeo: readonly string[];
}

/**
 * A shard holds all data of its drivers in one Redis Cluster slot (by the hash tag), so that one script can
 * change it atomically. The drivers of one busy city are spread over all shards.
 */
export function shardKeys(prefix: string, shard: number, products: ProductTable): ShardKeys {
  const key = (name: string) => `${prefix}driver:{p${shard}}:${name}`;
  const geo = Object.fromEntries(
    productsOf(products).map((product) => [product, key(`geo:${product}`)]),
  ) as Record<Product, string>;
  return {
    drivers: key('drivers'),
    sweep: key('sweep'),
    probe: key('probe'),
    geo,
    driversAndGeo: [key('drivers'), ...Object.values(geo)],
  };
}

/** Ids are UUIDs with a random tail: the last 32 bits distribute evenly. */
const shardOf = (driverId: DriverId, shards: number): number =>
  Number.parseInt(driverId.slice(-8), 16) % shards;

/** Splits items by shard and runs the parts concurrently; they leave in one write to the socket. */
export async function forEachShard<Item extends { driverId: DriverId }>(
  allKeys: readonly ShardKeys[],
  items: readonly Item[],
  run: (keys: ShardKeys, part: Item[], indexes: number[]) => Promise<void>,
): Promise<void> {
  const parts = allKeys.map((keys) => ({ keys, part: [] as Item[], indexes: [] as number[] }));
  items.forEach((item, index) => {
    const shard = parts[shardOf(item.driverId, allKeys.length)];
    shard?.part.push(item);
    shard?.indexes.push(index);
  });
  await Promise.all(
    parts.filter(({ part }) => part.length > 0).map(({ keys, part, indexes }) => run(keys, part, indexes)),
  );
}
