import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { publicTestRoute } from '../testing/routes.ts';
import { pathShapeOf } from './path-shape.ts';
import { createRouteTable } from './route-table.ts';

test('a name precedes a parameter for each method of a path', () => {
  const byId = publicTestRoute('DELETE', '/v1/letters/:id');
  const postToId = publicTestRoute('POST', '/v1/letters/:id');
  const redrive = publicTestRoute('POST', '/v1/letters/redrive');
  for (const declared of [
    [byId, postToId, redrive],
    [redrive, postToId, byId],
  ]) {
    const routes = createRouteTable(declared).find('/v1/letters/redrive')?.routes;
    expect([routes?.get('POST'), routes?.get('DELETE')]).toEqual([redrive, byId]);
  }
});

test('HEAD has the route of GET, and OPTIONS has none', () => {
  const route = publicTestRoute('GET', '/v1/trips');
  const routes = createRouteTable([route]).find('/v1/trips')?.routes;
  expect([routes?.get('HEAD'), routes?.get('OPTIONS')]).toEqual([route, undefined]);
});

test('a path has the same routes as any other path of its shape', () => {
  const table = createRouteTable([
    publicTestRoute('GET', '/v1/trips/:id'),
    publicTestRoute('POST', '/v1/trips/:id/accept'),
    publicTestRoute('PUT', '/v1/drivers/me/location'),
    publicTestRoute('GET', '/v1/ops/dead-letters/trip/:queue/:id'),
  ]);
  const segment = fc.oneof(
    fc.uuid(),
    fc.constantFrom(
      'v1',
      'trips',
      'drivers',
      'me',
      'location',
      'accept',
      'ops',
      'dead-letters',
      'trip',
      '*',
      '',
    ),
    fc.string({ unit: fc.constantFrom('a', '-', '*', '%'), minLength: 35, maxLength: 37 }),
    fc.constantFrom('location', 'accept', 'trips').map((name) => name.padEnd(36, 's')),
  );
  const paths = fc.array(segment, { maxLength: 6 }).map((segments) => `/v1/${segments.join('/')}`);
  fc.assert(
    fc.property(paths, (path) => {
      const routes = table.find(path)?.routes;
      expect(table.find(pathShapeOf(path))?.routes).toEqual(routes as typeof routes & {});
    }),
    { numRuns: 3_000 },
  );
});
