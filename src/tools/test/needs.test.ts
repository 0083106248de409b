import { describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { findServerNeeds, pathFilters } from './needs.ts';

const root = join(import.meta.dir, '../../..');
const needsOf = async (...args: string[]) => {
  const needs = await findServerNeeds(args, root);
  return Object.entries(needs).flatMap(([name, isNeeded]) => (isNeeded ? [name] : []));
};

describe('the servers of a test run', () => {
  test('are none for tests without server helpers', async () => {
    expect(await needsOf('src/platform/numbers.test.ts')).toEqual([]);
    expect(await needsOf('./src/contracts')).toEqual([]);
  });

  test('are those whose helpers the tests import, also indirectly', async () => {
    expect(await needsOf('modules/notification/tickets')).toEqual(['redis']);
    expect(await needsOf('modules/user/credentials')).toEqual(['postgres']);
    expect(await needsOf('src/testing/postgres.test.ts', 'notification/tickets')).toEqual(['redis']);
  });

  test('are all of them without a path, and for tests of whole topologies', async () => {
    expect(await needsOf()).toEqual(['postgres', 'redis', 'rabbitmq']);
    expect(await needsOf('-t', 'some name')).toEqual(['postgres', 'redis', 'rabbitmq']);
    expect(await needsOf('src/e2e/readme.test.ts')).toEqual(['postgres', 'redis', 'rabbitmq']);
  });
});

test('option values are not taken for paths', () => {
  expect(pathFilters(['-t', 'a name', 'modules/trip', '--bail', 'src', '--timeout=5'])).toEqual([
    'modules/trip',
    'src',
  ]);
});
