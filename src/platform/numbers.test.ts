import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseDecimal, parseInteger } from './numbers.ts';

const invalidForBoth = [
  '',
  ' ',
  ' 7',
  '7 ',
  '7\n',
  '+7',
  '1e6',
  '0x10',
  '0b1',
  '7abc',
  'abc',
  '1_000',
  '1,000',
  '٧',
  '７',
];
const alsoInvalid = [
  'NaN',
  'Infinity',
  '--7',
  '-',
  '.',
  '.5',
  '5.',
  '1.2.3',
  '1.2e3',
  '9007199254740993',
  '9'.repeat(400),
];

describe('parsing an integer', () => {
  test.each([
    ['0', 0],
    ['-0', 0],
    ['7', 7],
    ['-12', -12],
    ['007', 7],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('%s is %d', (text, value) => expect(parseInteger(text)).toBe(value));

  test.each([...invalidForBoth, ...alsoInvalid, '12.5', '7.0'])('%j is rejected', (text) =>
    expect(parseInteger(text)).toBeUndefined(),
  );

  test('any safe integer is parsed from its decimal digits', () => {
    fc.assert(fc.property(fc.maxSafeInteger(), (value) => parseInteger(`${value}`) === value));
  });
});

describe('parsing a decimal number', () => {
  test.each([
    ['0', 0],
    ['-0.0', 0],
    ['0.05', 0.05],
    ['-12.50', -12.5],
    ['20', 20],
  ])('%s is %d', (text, value) => expect(parseDecimal(text)).toBe(value));

  test.each([...invalidForBoth, ...alsoInvalid])('%j is rejected', (text) =>
    expect(parseDecimal(text)).toBeUndefined(),
  );
});
