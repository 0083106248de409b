import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { ConfigError, loadConfig } from '@platform/config.ts';
import { type TSchema, Type } from '@sinclair/typebox';
import fc from 'fast-check';
import { allProcessSettings } from './all.ts';
import { gatewayProcessSettings } from './gateway.ts';
import { processSettings } from './settings.ts';

const operations = await Bun.file(join(import.meta.dir, '../../docs/operations.md')).text();

type Setting = TSchema & { minimum?: number; maximum?: number };
const settings: Record<string, Setting> = {
  ...processSettings.properties,
  ...allProcessSettings.properties,
  ...gatewayProcessSettings.properties,
};

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

/** What a text denotes to a setting of this kind; undefined: it has to be refused. */
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
// Texts that are found by chance may be words of a message; this one is none.
const marker = '-hidden-9471';
const anyText = fc.oneof(
  numberLike,
  fc.string({ unit: 'binary' }),
  fc.webUrl(),
  fc.constantFrom('no', 'info'),
);

test('whatever text a setting is given is exactly what it says, or a fault with its name, its remedy and not the text', () => {
  for (const [name, schema] of Object.entries(settings)) {
    const one = Type.Object({ [name]: schema });
    fc.assert(
      fc.property(
        anyText.filter((text) => text !== ''),
        (text) => {
          const marked = resultOf(() => loadConfig(one, { [name]: `${text}${marker}` }));
          expect(marked.error?.message ?? '').not.toContain(marker);
          const read = resultOf(() => loadConfig(one, { [name]: text })[name]);
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
