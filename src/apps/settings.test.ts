import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '@platform/config.ts';
import { type TSchema, Type } from '@sinclair/typebox';
import fc from 'fast-check';
import { allProcessSettings } from './all.ts';
import { gatewayProcessSettings } from './gateway.ts';
import { processSettings } from './settings.ts';

const operationsPage = await Bun.file(join(import.meta.dir, '../../docs/operations.md')).text();

type Setting = TSchema & { minimum?: number; maximum?: number };
const settings: Record<string, Setting> = {
  ...processSettings.properties,
  ...allProcessSettings.properties,
  ...gatewayProcessSettings.properties,
};

test('docs/operations.md lists every setting with its default', () => {
  const missing = Object.entries(settings)
    .map(([name, schema]) => `| \`${name}\` | ${'default' in schema ? schema.default : ''} |`)
    .filter((row) => !operationsPage.includes(row));
  expect(missing).toEqual([]);
});

test('docs/operations.md lists no removed setting', () => {
  const named = [...operationsPage.matchAll(/^\| `([A-Z][A-Z_]+)` \|/gm)].map((match) => match[1] ?? '');
  // ADAPTERS is read before the settings, because it selects their schema.
  expect(named.filter((name) => !(name in settings) && name !== 'ADAPTERS')).toEqual([]);
});

/** The value that a text means for a setting; undefined when it must be rejected. */
function meaningOf(text: string, schema: Setting): unknown {
  if (schema.type !== 'integer') return text;
  const value = /^-?[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  return value >= (schema.minimum ?? 0) && value <= (schema.maximum ?? 0) ? value : undefined;
}

const numberLike = fc.oneof(
  fc.integer().map(String),
  fc.double().map(String),
  fc.constantFrom('12.5', '1e6', '0x10', ' 7 ', '7abc', '٧', '1_000', 'NaN', '-0', '00', 'true', 'null'),
);
// A random text may occur in a message by chance. This marker does not.
const marker = '-hidden-9471';
const anyText = fc.oneof(
  numberLike,
  fc.string({ unit: 'binary' }),
  fc.webUrl(),
  fc.constantFrom('no', 'info'),
);

test('any text for a setting is either read exactly or rejected with the name of the setting and a remedy, without the text', () => {
  for (const [name, schema] of Object.entries(settings)) {
    const schemaOfSetting = Type.Object({ [name]: schema });
    fc.assert(
      fc.property(
        anyText.filter((text) => text !== ''),
        (text) => {
          const marked = resultOf(() => loadConfig(schemaOfSetting, { [name]: `${text}${marker}` }));
          expect(marked.error?.message ?? '').not.toContain(marker);
          const read = resultOf(() => loadConfig(schemaOfSetting, { [name]: text })[name]);
          if (read.error === undefined) return read.value === meaningOf(text, schema);
          const { message } = read.error;
          expect(message).toContain(`  ${name} is invalid`);
          expect(message).toContain(`set it to ${schema.description}`);
          return schema.type !== 'integer' || meaningOf(text, schema) === undefined;
        },
      ),
      { numRuns: 60 },
    );
  }
});

function resultOf<T>(
  act: () => T,
): { value: T; error?: undefined } | { value?: undefined; error: ConfigError } {
  try {
    return { value: act() };
  } catch (error) {
    if (error instanceof ConfigError) return { error };
    throw error;
  }
}
