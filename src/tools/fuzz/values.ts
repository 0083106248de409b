import type { Random } from '@platform/random.ts';
import type { Schema } from './api-document.ts';

export interface RandomPicker {
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
  integer(min: number, max: number): number;
}

export function createRandomPicker(random: Random): RandomPicker {
  const integer = (min: number, max: number) => min + Math.floor(random.next() * (max - min + 1));
  return {
    chance: (probability) => random.next() < probability,
    integer,
    pick<T>(list: readonly T[]): T {
      const chosen = list[integer(0, list.length - 1)];
      if (chosen === undefined) throw new Error('nothing to pick from');
      return chosen;
    },
  };
}

/** Contained in every hostile text: no response to a rejected request may repeat it. */
export const marker = 'zq7fuzz';

/** Generates a value that the schema is likely to accept. */
export function validValue(schema: Schema, picker: RandomPicker, depth = 0): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return picker.pick(schema.enum);
  if (schema.anyOf !== undefined && schema.anyOf.length > 0)
    return validValue(picker.pick(schema.anyOf), picker, depth + 1);
  switch (schema.type) {
    case 'object':
      return validObject(schema, picker, depth);
    case 'array': {
      const min = schema.minItems ?? 0;
      const count = picker.integer(min, Math.min(schema.maxItems ?? min + 3, min + 3));
      return Array.from({ length: count }, () => validValue(schema.items ?? {}, picker, depth + 1));
    }
    case 'integer':
      return picker.integer(schema.minimum ?? -1_000, Math.min(schema.maximum ?? 1_000, 2 ** 31));
    case 'number': {
      const min = schema.minimum ?? -1_000;
      return min + ((schema.maximum ?? 1_000) - min) * (picker.integer(0, 1_000_000) / 1_000_000);
    }
    case 'boolean':
      return picker.chance(0.5);
    case 'null':
      return null;
    case 'string':
      return validText(schema, picker);
    default:
      return picker.pick(['text', 7, null]);
  }
}

function validObject(schema: Schema, picker: RandomPicker, depth: number): Record<string, unknown> {
  const required = new Set(schema.required ?? []);
  const value: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(schema.properties ?? {}))
    if (required.has(name) || (depth < 6 && picker.chance(0.5)))
      value[name] = validValue(inner, picker, depth + 1);
  return value;
}

/** Generates a text that matches the formats and patterns used in the contracts. */
function validText(
  { pattern = '', format, minLength = 0, maxLength = 40 }: Schema,
  picker: RandomPicker,
): string {
  if (pattern.includes('[0-9a-f]{8}')) return randomId(picker);
  if (pattern.includes('\\d{4}-\\d{2}'))
    return new Date(1_760_000_000_000 + picker.integer(0, 2 ** 31)).toISOString();
  if (format === 'idn-email')
    return `fuzz-${picker.integer(0, 2 ** 31)}@${picker.pick(['example.com', 'bücher.example'])}`;
  if (pattern.includes('A-Z]{3}')) return picker.pick(['VND', 'USD']);
  const length = picker.integer(Math.max(1, minLength), Math.max(1, minLength, Math.min(maxLength, 20)));
  return picker.pick(['a', 'Q', '7', 'ngọc']).repeat(length).slice(0, length);
}

export const randomId = (picker: RandomPicker): string =>
  `01a2${hex(picker, 4)}-${hex(picker, 4)}-7${hex(picker, 3)}-8${hex(picker, 3)}-${hex(picker, 12)}`;

const hex = (picker: RandomPicker, digits: number): string =>
  Array.from({ length: digits }, () => picker.integer(0, 15).toString(16)).join('');

const hostileTexts = [
  '',
  ' ',
  marker,
  `'; drop table trips; -- ${marker}`,
  `<script>${marker}</script>`,
  `../../../etc/passwd${marker}`,
  `${marker}\u0000null`,
  `\u202e${marker}`,
  `${marker}\u2066`,
  '\u200b\u2060',
  '\u3164',
  '\u00a0 \u3000',
  `e\u0301${marker}`,
  `a\u200d\u200d${marker}`,
  `${marker}\ue000\uffff`,
  `${marker}\ufffd`,
  '2026-02-30T00:00:00Z',
  '2026-01-01T24:00:00.000Z',
  '0000-01-01T00:00:61Z',
  `${marker}@xn--a.example`,
  Buffer.from(`1760000000000.${'-'.repeat(36)}`).toString('base64url'),
  '\ud800',
  `{{7*7}}${marker}`,
  `\${${marker}}`,
  `${marker}`.repeat(2_000),
  '🚕'.repeat(500),
  'NaN',
  'Infinity',
  '__proto__',
  'constructor',
];
const hostileNumbers = [0, -0, -1, 1e308, -1e308, 1e-300, 2 ** 53, 2 ** 63, 0.1 + 0.2, 1.5, 91, 181, -181];

export const hostileText = (picker: RandomPicker): string => picker.pick(hostileTexts);

/** Problems may name fields, so field names contain no marker. */
const hostileName = (picker: RandomPicker): string => hostileText(picker).replaceAll(marker, 'unknown');

export function hostileValue(picker: RandomPicker): unknown {
  switch (picker.integer(0, 7)) {
    case 0:
      return picker.pick(hostileNumbers);
    case 1:
      return null;
    case 2:
      return picker.chance(0.5);
    case 3:
      return [];
    case 4:
      return { [hostileName(picker)]: hostileText(picker) };
    case 5:
      return Array.from({ length: picker.integer(1, 600) }, () => picker.pick(hostileNumbers));
    default:
      return hostileText(picker);
  }
}

/** Returns the value with one part replaced by a hostile value, removed or added. */
export function corruptValue(value: unknown, picker: RandomPicker): unknown {
  if (Array.isArray(value)) {
    if (value.length === 0 || picker.chance(0.2)) return hostileValue(picker);
    const at = picker.integer(0, value.length - 1);
    return value.map((inner, index) => (index === at ? corruptValue(inner, picker) : inner));
  }
  if (typeof value !== 'object' || value === null) return hostileValue(picker);
  const entries = Object.entries(value);
  const [name, inner] = entries.length === 0 ? ['unknown', 1] : picker.pick(entries);
  switch (picker.integer(0, 4)) {
    case 0:
      return Object.fromEntries(entries.filter(([key]) => key !== name));
    case 1:
      return { ...value, [hostileName(picker)]: hostileValue(picker) };
    case 2:
      return hostileValue(picker);
    default:
      return { ...value, [name]: corruptValue(inner, picker) };
  }
}
