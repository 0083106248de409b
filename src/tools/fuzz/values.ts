import type { Random } from '@platform/random.ts';
import type { Schema } from './api-document.ts';

export interface RandomPicker {
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
  integer(least: number, most: number): number;
}

export function createRandomPicker(random: Random): RandomPicker {
  const integer = (least: number, most: number) => least + Math.floor(random.next() * (most - least + 1));
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

/** Part of every hostile text: no answer to a refused request may hold it. */
export const marker = 'zq7fuzz';

/** A value that the schema is likely to accept. */
export function validValue(schema: Schema, dice: RandomPicker, depth = 0): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return dice.pick(schema.enum);
  if (schema.anyOf !== undefined && schema.anyOf.length > 0)
    return validValue(dice.pick(schema.anyOf), dice, depth + 1);
  switch (schema.type) {
    case 'object':
      return validObject(schema, dice, depth);
    case 'array': {
      const least = schema.minItems ?? 0;
      const count = dice.integer(least, Math.min(schema.maxItems ?? least + 3, least + 3));
      return Array.from({ length: count }, () => validValue(schema.items ?? {}, dice, depth + 1));
    }
    case 'integer':
      return dice.integer(schema.minimum ?? -1_000, Math.min(schema.maximum ?? 1_000, 2 ** 31));
    case 'number': {
      const least = schema.minimum ?? -1_000;
      return least + ((schema.maximum ?? 1_000) - least) * (dice.integer(0, 1_000_000) / 1_000_000);
    }
    case 'boolean':
      return dice.chance(0.5);
    case 'null':
      return null;
    case 'string':
      return validText(schema, dice);
    default:
      return dice.pick(['text', 7, null]);
  }
}

function validObject(schema: Schema, dice: RandomPicker, depth: number): Record<string, unknown> {
  const required = new Set(schema.required ?? []);
  const made: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(schema.properties ?? {}))
    if (required.has(name) || (depth < 6 && dice.chance(0.5)))
      made[name] = validValue(inner, dice, depth + 1);
  return made;
}

/** Texts of the shapes that the contracts know, by their formats and what their patterns begin with. */
function validText(
  { pattern = '', format, minLength = 0, maxLength = 40 }: Schema,
  dice: RandomPicker,
): string {
  if (pattern.includes('[0-9a-f]{8}')) return randomId(dice);
  if (pattern.includes('\\d{4}-\\d{2}'))
    return new Date(1_760_000_000_000 + dice.integer(0, 2 ** 31)).toISOString();
  if (format === 'idn-email')
    return `fuzz-${dice.integer(0, 2 ** 31)}@${dice.pick(['example.com', 'bücher.example'])}`;
  if (pattern.includes('A-Z]{3}')) return dice.pick(['VND', 'USD']);
  const length = dice.integer(Math.max(1, minLength), Math.max(1, minLength, Math.min(maxLength, 20)));
  return dice.pick(['a', 'Q', '7', 'ngọc']).repeat(length).slice(0, length);
}

export const randomId = (dice: RandomPicker): string =>
  `01a2${hex(dice, 4)}-${hex(dice, 4)}-7${hex(dice, 3)}-8${hex(dice, 3)}-${hex(dice, 12)}`;

const hex = (dice: RandomPicker, digits: number): string =>
  Array.from({ length: digits }, () => dice.integer(0, 15).toString(16)).join('');

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

export const hostileText = (dice: RandomPicker): string => dice.pick(hostileTexts);

/** Names of fields are said in refusals, shortened: they hold no marker. */
const hostileName = (dice: RandomPicker): string => hostileText(dice).replaceAll(marker, 'unknown');

export function hostileValue(dice: RandomPicker): unknown {
  switch (dice.integer(0, 7)) {
    case 0:
      return dice.pick(hostileNumbers);
    case 1:
      return null;
    case 2:
      return dice.chance(0.5);
    case 3:
      return [];
    case 4:
      return { [hostileName(dice)]: hostileText(dice) };
    case 5:
      return Array.from({ length: dice.integer(1, 600) }, () => dice.pick(hostileNumbers));
    default:
      return hostileText(dice);
  }
}

/** The value with one place of it made hostile, left out, doubled or added. */
export function corruptValue(value: unknown, dice: RandomPicker): unknown {
  if (Array.isArray(value)) {
    if (value.length === 0 || dice.chance(0.2)) return hostileValue(dice);
    const at = dice.integer(0, value.length - 1);
    return value.map((inner, index) => (index === at ? corruptValue(inner, dice) : inner));
  }
  if (typeof value !== 'object' || value === null) return hostileValue(dice);
  const entries = Object.entries(value);
  const [name, inner] = entries.length === 0 ? ['unknown', 1] : dice.pick(entries);
  switch (dice.integer(0, 4)) {
    case 0:
      return Object.fromEntries(entries.filter(([key]) => key !== name));
    case 1:
      return { ...value, [hostileName(dice)]: hostileValue(dice) };
    case 2:
      return hostileValue(dice);
    default:
      return { ...value, [name]: corruptValue(inner, dice) };
  }
}
