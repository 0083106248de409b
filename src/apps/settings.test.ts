import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { realSettings } from './all.ts';
import { edgeSettings } from './gateway.ts';
import { processSettings } from './settings.ts';

const operations = await Bun.file(join(import.meta.dir, '../../docs/operations.md')).text();

const settings = { ...processSettings.properties, ...realSettings.properties, ...edgeSettings.properties };

test('docs/operations.md names every setting with its default', () => {
  const missing = Object.entries(settings)
    .map(([name, schema]) => `| \`${name}\` | ${'default' in schema ? schema.default : ''} |`)
    .filter((row) => !operations.includes(row));
  expect(missing).toEqual([]);
});

test('docs/operations.md names no setting that is gone', () => {
  const named = [...operations.matchAll(/^\| `([A-Z][A-Z_]+)` \|/gm)].map((match) => match[1] ?? '');
  // Which adapters one process takes is asked before its settings are read.
  expect(named.filter((name) => !(name in settings) && name !== 'ADAPTERS')).toEqual([]);
});
