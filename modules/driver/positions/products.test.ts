import { describe, expect, test } from 'bun:test';
import { createProductSchema, type Product, products, productTable } from '@contracts/drivers.ts';
import { Value } from '@sinclair/typebox/value';
import { shardKeys } from './keys.ts';
import { createScripts } from './scripts.ts';

const extra = 'extra' as Product;
const extendedTable = { ...productTable, extra: { indexLetter: 'z' } };

describe('the table of products', () => {
  test('has one unique lower-case letter for each product', () => {
    const letters = products.map((product) => productTable[product].indexLetter);
    for (const letter of letters) expect(letter).toMatch(/^[a-z]$/);
    expect(new Set(letters).size).toBe(letters.length);
  });

  test('keeps the letters and keys of stored data', () => {
    expect(productTable).toMatchObject({
      bike: { indexLetter: 'b' },
      car: { indexLetter: 'c' },
      car_xl: { indexLetter: 'x' },
    });
    expect(shardKeys('', 0, productTable)).toMatchObject({
      drivers: 'driver:{p0}:drivers',
      geo: {
        bike: 'driver:{p0}:geo:bike',
        car: 'driver:{p0}:geo:car',
        car_xl: 'driver:{p0}:geo:car_xl',
      },
    });
  });

  test('with one more row extends the schema, the keys and the scripts', () => {
    expect(Value.Check(createProductSchema(productTable), extra)).toBe(false);
    expect(Value.Check(createProductSchema(extendedTable), extra)).toBe(true);
    const keys = shardKeys('', 0, extendedTable);
    expect(keys.geo[extra]).toBe('driver:{p0}:geo:extra');
    expect(keys.driversAndGeo.at(-1)).toBe('driver:{p0}:geo:extra');
    const { record, setAvailabilities, sweep } = createScripts(extendedTable);
    expect(record).toContain(`[122] = KEYS[${products.length + 2}]`);
    expect(setAvailabilities).toContain(`[122] = KEYS[${products.length + 2}]`);
    expect(sweep).toContain(`[122] = KEYS[${products.length + 3}]`);
  });
});
