import type { PersonId } from '@contracts/ids.ts';
import type { Connection } from './connection.ts';

/** The connections of an instance, by person. */
export interface ConnectionIndex {
  connectionsOf(personId: PersonId): readonly Connection[];
  add(connection: Connection): void;
  /** False when it was not there. */
  remove(connection: Connection): boolean;
  personIds(): PersonId[];
  /** All, each with a number that is always the same for a person: numbers are spread evenly. */
  visitAll(visit: (connection: Connection, number: number) => void): void;
}

// Some four people in each of a full instance.
const bucketCount = 4_096;
const none: readonly Connection[] = [];

/**
 * Short lists, found by the person's id: 30 bytes a connection. A Map doubles and doubles again, and one of
 * 17,000 people, as many as an instance takes, had 190 bytes for each.
 */
export function createConnectionIndex(): ConnectionIndex {
  // A list is never changed but replaced: whoever goes through it is not disturbed.
  const buckets = Array.from({ length: bucketCount }, () => none);

  return {
    connectionsOf: (personId) => bucketOf(personId).filter((one) => one.claims.personId === personId),
    add(connection) {
      const { personId } = connection.claims;
      buckets[placeOf(personId)] = [...bucketOf(personId), connection];
    },
    remove(connection) {
      const { personId } = connection.claims;
      const before = bucketOf(personId);
      const left = before.filter((one) => one !== connection);
      buckets[placeOf(personId)] = left.length === 0 ? none : left;
      return left.length < before.length;
    },
    personIds: () => [...new Set(buckets.flatMap((bucket) => bucket.map(({ claims }) => claims.personId)))],
    visitAll(visit) {
      for (const [place, bucket] of buckets.entries())
        for (const connection of bucket) visit(connection, place);
    },
  };

  function bucketOf(personId: PersonId): readonly Connection[] {
    return buckets[placeOf(personId)] ?? none;
  }
}

/** Ids are UUIDs whose tail is random. */
const placeOf = (personId: PersonId): number => Number.parseInt(personId.slice(-4), 16) % bucketCount;
