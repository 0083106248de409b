import { expect, test } from 'bun:test';
import type { PersonId } from '@contracts/ids.ts';
import { createManualClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createSeededRandom } from '@platform/random.ts';
import type { Connection } from './connection.ts';
import { createConnectionIndex } from './connection-index.ts';

const newId = createIds(createManualClock(0), createSeededRandom(1));
const connectionOf = (personId: PersonId) => ({ claims: { personId } }) as unknown as Connection;

test('thousands of people each have exactly their own connections, the oldest first', () => {
  const index = createConnectionIndex();
  const ids = Array.from({ length: 10_000 }, () => newId<PersonId>());
  const pairs = ids.map((id) => [connectionOf(id), connectionOf(id)] as const);
  for (const [first] of pairs) index.add(first);
  for (const [, second] of pairs) index.add(second);
  ids.forEach((id, place) => {
    expect(index.connectionsOf(id)).toEqual([...(pairs[place] ?? [])]);
  });
  expect(index.personIds().sort()).toEqual([...ids].sort());
});

test('a connection is removed once', () => {
  const index = createConnectionIndex();
  const personId = newId<PersonId>();
  const [stays, goes] = [connectionOf(personId), connectionOf(personId)];
  index.add(stays);
  index.add(goes);
  expect([index.remove(goes), index.remove(goes)]).toEqual([true, false]);
  expect(index.connectionsOf(personId)).toEqual([stays]);
  expect(index.remove(stays)).toBe(true);
  expect(index.personIds()).toEqual([]);
});

test('each connection is visited once, also while others are removed, and the buckets are even', () => {
  const index = createConnectionIndex();
  const connections = Array.from({ length: 8_000 }, () => connectionOf(newId<PersonId>()));
  for (const connection of connections) index.add(connection);
  const visited = new Set<Connection>();
  const shares = new Array<number>(8).fill(0);
  index.visitAll((connection, number) => {
    visited.add(connection);
    shares[number % 8] = (shares[number % 8] ?? 0) + 1;
    index.remove(connection);
  });
  expect(visited.size).toBe(8_000);
  expect(Math.min(...shares)).toBeGreaterThan(800);
  expect(Math.max(...shares)).toBeLessThan(1_200);
  expect(index.personIds()).toEqual([]);
});
