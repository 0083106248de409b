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
  const people = createConnectionIndex();
  const ids = Array.from({ length: 10_000 }, () => newId<PersonId>());
  const pairs = ids.map((id) => [connectionOf(id), connectionOf(id)] as const);
  for (const [first] of pairs) people.add(first);
  for (const [, second] of pairs) people.add(second);
  ids.forEach((id, place) => {
    expect(people.connectionsOf(id)).toEqual([...(pairs[place] ?? [])]);
  });
  expect(people.personIds().sort()).toEqual([...ids].sort());
});

test('a connection is removed once', () => {
  const people = createConnectionIndex();
  const personId = newId<PersonId>();
  const [stays, goes] = [connectionOf(personId), connectionOf(personId)];
  people.add(stays);
  people.add(goes);
  expect([people.remove(goes), people.remove(goes)]).toEqual([true, false]);
  expect(people.connectionsOf(personId)).toEqual([stays]);
  expect(people.remove(stays)).toBe(true);
  expect(people.personIds()).toEqual([]);
});

test('each connection is visited once, also while others are removed, and the buckets are even', () => {
  const people = createConnectionIndex();
  const all = Array.from({ length: 8_000 }, () => connectionOf(newId<PersonId>()));
  for (const one of all) people.add(one);
  const visited = new Set<Connection>();
  const shares = new Array<number>(8).fill(0);
  people.visitAll((connection, number) => {
    visited.add(connection);
    shares[number % 8] = (shares[number % 8] ?? 0) + 1;
    people.remove(connection);
  });
  expect(visited.size).toBe(8_000);
  expect(Math.min(...shares)).toBeGreaterThan(800);
  expect(Math.max(...shares)).toBeLessThan(1_200);
  expect(people.personIds()).toEqual([]);
});
