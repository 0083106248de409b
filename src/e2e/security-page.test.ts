import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join } from 'node:path';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';

const root = join(import.meta.dir, '../..');
const page = await Bun.file(join(root, 'docs/security.md')).text();

/** `file`: “title” */
const named = [...page.matchAll(/`((?:src|modules)\/[\w./-]+\.test\.ts)`: “([^”]+)”/g)].map(
  ([, file = '', title = '']) => ({ file, title }),
);

let system: RunningSystem;
beforeAll(async () => {
  system = await startSystem('one process, embedded adapters');
}, 60_000);
afterAll(() => system?.stop(), 60_000);

test('every test that docs/security.md names exists under that title', async () => {
  expect(named.length).toBeGreaterThan(25);
  for (const { file, title } of named) {
    const path = Bun.file(join(root, file));
    expect([file, await path.exists()]).toEqual([file, true]);
    const titles = [...(await path.text()).matchAll(/(['"`])((?:(?!\1).)+)\1/g)].map((match) => match[2]);
    expect([file, title, titles.includes(title)]).toEqual([file, title, true]);
  }
});

test('each of the ten OWASP risks has a test', () => {
  for (let risk = 1; risk <= 10; risk++) {
    const row = page.split('\n').find((line) => line.startsWith(`| API${risk} `)) ?? '';
    expect([risk, /`[\w./-]+\.test\.ts`: “/.test(row)]).toEqual([risk, true]);
  }
});

/** Yields the name and schema of every property and parameter that a request may carry. */
function* inputsOf(value: unknown, name = ''): Iterable<{ name: string; schema: Record<string, unknown> }> {
  if (Array.isArray(value)) for (const item of value) yield* inputsOf(item, name);
  else if (typeof value === 'object' && value !== null) {
    const schema = { ...value } as Record<string, unknown>;
    if ('type' in schema || 'in' in schema) yield { name: String(schema.name ?? name), schema };
    for (const [key, child] of Object.entries(schema)) if (key !== 'responses') yield* inputsOf(child, key);
  }
}

test('no API request contains an address that the server would call', async () => {
  const document = (await fetch(`${system.url}/openapi/json`).then((response) => response.json())) as {
    paths: object;
  };
  const inputs = [...inputsOf(document.paths)];
  expect(inputs.length).toBeGreaterThan(60);
  const addresses = inputs.filter(
    ({ name, schema }) =>
      /ur[il]$|^host|^address$|callback|webhook|redirect|domain|endpoint/i.test(name) ||
      /^ur[il]|hostname|ipv[46]/.test(String(schema.format ?? '')),
  );
  expect(addresses).toEqual([]);
});
