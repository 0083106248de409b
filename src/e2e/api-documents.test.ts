import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { eventSchemas } from '@contracts/events.ts';
import { ClientFrame, ServerFrame } from '@contracts/realtime.ts';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';

const startTimeoutMs = 60_000;

let systems: Record<'one process' | 'fleet', RunningSystem>;
beforeAll(async () => {
  systems = {
    'one process': await startSystem('one process, embedded adapters'),
    fleet: await startSystem('fleet'),
  };
}, startTimeoutMs);
afterAll(async () => {
  for (const system of Object.values(systems ?? {})) await system.stop();
}, startTimeoutMs);

const read = async (system: RunningSystem, path: string) => {
  const response = await fetch(`${system.url}${path}`);
  expect(response.status).toBe(200);
  return response.text();
};

/** Every finding of the linter, errors and warnings, by rule and location. */
async function findings(source: string): Promise<string[]> {
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lintFromString({ source, absoluteRef: 'document.json', config });
  return problems.map(
    ({ ruleId, message, location }) => `${ruleId}: ${message} at ${location[0]?.pointer ?? ''}`,
  );
}

describe.each(['one process', 'fleet'] as const)('the API documents of the %s', (name) => {
  test('have no OpenAPI lint findings of any severity', async () => {
    const source = await read(systems[name], '/openapi/json');
    expect(await findings(source)).toEqual([]);
  });

  test('have no AsyncAPI lint findings', async () => {
    expect(await findings(await read(systems[name], '/asyncapi.json'))).toEqual([]);
  });
});

test('one process and the fleet serve the same documents', async () => {
  for (const path of ['/openapi/json', '/asyncapi.json']) {
    const [one, fleet] = await Promise.all(
      Object.values(systems).map(async (system) => JSON.parse(await read(system, path))),
    );
    expect(one).toEqual(fleet);
  }
});

test('the linter reports errors in invalid documents', async () => {
  const wrong = {
    openapi: '3.1.1',
    info: { title: 'x', version: '1' },
    paths: { '/x': { get: { respond: {} } } },
  };
  expect((await findings(JSON.stringify(wrong))).length).toBeGreaterThan(2);
  const events = { asyncapi: '3.0.0', info: { title: 'x' }, channels: { x: { adress: 'x' } } };
  expect((await findings(JSON.stringify(events))).length).toBeGreaterThan(1);
});

interface EventDocument {
  channels: Record<string, { address: string }>;
  components: { messages: Record<string, { payload: unknown }> };
}

test('the AsyncAPI document lists every event and frame with the schemas that validate them', async () => {
  const document: EventDocument = JSON.parse(await read(systems.fleet, '/asyncapi.json'));
  const addresses = Object.values(document.channels).map(({ address }) => address);
  expect(addresses.sort()).toEqual(['/v1/realtime', ...Object.keys(eventSchemas)].sort());
  const payloads = Object.values(document.components.messages).map(({ payload }) => payload);
  const textOf = (schema: unknown) =>
    JSON.stringify(schema, (key, value) => (key === '$id' ? undefined : value));
  const shown = new Set(payloads.map(textOf));
  const schemas = [...ServerFrame.anyOf, ...ClientFrame.anyOf, ...Object.values(eventSchemas)];
  const missing = schemas.map(textOf).filter((schema) => !shown.has(schema));
  expect(missing).toEqual([]);
});

interface Operation {
  operationId?: string;
  summary?: string;
  tags?: string[];
  responses?: object;
}

test('every operation has a unique id, a summary, a tag and its problem responses', async () => {
  const document: {
    paths: Record<string, Record<string, Operation>>;
    tags: { name: string }[];
  } = JSON.parse(await read(systems.fleet, '/openapi/json'));
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ at: `${method} ${path}`, ...operation })),
  );
  const names = operations.map((operation) => operation.operationId);
  expect(new Set(names).size).toBe(operations.length);
  const tags = document.tags.map(({ name }) => name);
  for (const { at, summary, tags: [tag] = [], responses = {} } of operations) {
    const problems = ['429', '503', 'default'].filter((status) => status in responses);
    expect([at, summary !== undefined, tags.includes(tag ?? ''), problems]).toEqual([
      at,
      true,
      true,
      ['429', '503', 'default'],
    ]);
  }
});
