import type { PersonId } from '@contracts/ids.ts';
import type { Connection } from './connection.ts';

/** The connections of an instance, by person. */
export interface ConnectionIndex {
  connectionsOf(personId: PersonId): readonly Connection[];
  add(connection: Connection): void;
  /** False if the connection was not in the index. */
  remove(connection: Connection): boolean;
  personIds(): PersonId[];
  /** Visits all connections with the bucket of their person. Buckets are stable and evenly filled. */
  visitAll(visit: (connection: Connection, bucket: number) => void): void;
}

// About four people per bucket in a full instance.
const bucketCount = 4_096;
const noConnections: readonly Connection[] = [];

/**
 * A fixed array of short lists, found by the person's id: 30 bytes per connection. A Map grows by doubling, and one
 * with 17,000 people, about the limit of an instance, used 190 bytes for each.
 */
export function createConnectionIndex(): ConnectionIndex {
  // Lists are replaced, never changed, so they may be iterated while connections come and go.
  const buckets = Array.from({ length: bucketCount }, () => noConnections);

  return {
    connectionsOf: (personId) =>
      bucketOf(personId).filter((candidate) => candidate.claims.personId === personId),
    add(connection) {
      const { personId } = connection.claims;
      buckets[slotOf(personId)] = [...bucketOf(personId), connection];
    },
    remove(connection) {
      const { personId } = connection.claims;
      const before = bucketOf(personId);
      const remaining = before.filter((candidate) => candidate !== connection);
      buckets[slotOf(personId)] = remaining.length === 0 ? noConnections : remaining;
      return remaining.length < before.length;
    },
    personIds: () => [...new Set(buckets.flatMap((bucket) => bucket.map(({ claims }) => claims.personId)))],
    visitAll(visit) {
      for (const [slot, bucket] of buckets.entries())
        for (const connection of bucket) visit(connection, slot);
    },
  };

  function bucketOf(personId: PersonId): readonly Connection[] {
    return buckets[slotOf(personId)] ?? noConnections;
  }
}

/** The last digits of the person's UUID are random, so buckets fill evenly. */
const slotOf = (personId: PersonId): number => Number.parseInt(personId.slice(-4), 16) % bucketCount;
