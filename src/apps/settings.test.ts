import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { realSettings } from './all.ts';
import { processSettings } from './settings.ts';

const operations = await Bun.file(join(import.meta.dir, '../../docs/operations.md')).text();

test('docs/operations.md names every setting with its default', () => {
  const settings = { ...processSettings.properties, ...realSettings.properties };
  const missing = Object.entries(settings)
    .map(([name, schema]) => `| \`${name}\` | ${'default' in schema ? schema.default : ''} |`)
    .filter((row) => !operations.includes(row));
  expect(missing).toEqual([]);
});

test('docs/operations.md names no setting that is gone', () => {
  const settings = new Set(Object.keys({ ...processSettings.properties, ...realSettings.properties }));
  const named = [...operations.matchAll(/^\| `([A-Z][A-Z_]+)` \|/gm)].map((match) => match[1] ?? '');
  // Only fleets have these.
  const fleet = ['USER_URL', 'DRIVER_URL', 'TRIP_URL', 'PAYMENT_URL', 'NOTIFICATION_URL', 'ADAPTERS'];
  expect(named.filter((name) => !settings.has(name) && !fleet.includes(name))).toEqual([]);
});
