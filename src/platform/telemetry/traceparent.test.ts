import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { formatTraceparent, formatUnsampledTraceparent, parseTraceparent } from './traceparent.ts';

const valid = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const hex = (length: number) =>
  fc
    .array(fc.integer({ min: 0, max: 15 }), { minLength: length, maxLength: length })
    .map((digits) => digits.map((digit) => digit.toString(16)).join(''))
    .filter((text) => /[^0]/.test(text));

describe('a traceparent header', () => {
  test('is read into trace id, span id and the sampled flag', () => {
    expect(parseTraceparent(valid)).toEqual({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      isSampled: true,
    });
    expect(parseTraceparent(valid.replace(/01$/, '00'))?.isSampled).toBe(false);
    expect(parseTraceparent(valid.replace(/01$/, '02'))?.isSampled).toBe(false);
    expect(parseTraceparent(valid.replace(/01$/, '03'))?.isSampled).toBe(true);
  });

  test('of a later version is read as far as version 00 goes', () => {
    expect(parseTraceparent(`${valid.replace(/^00/, '01')}-more`)?.spanId).toBe('b7ad6b7169203331');
  });

  const invalid: [name: string, value: unknown][] = [
    ['absent', undefined],
    ['null', null],
    ['empty', ''],
    ['with the forbidden version ff', valid.replace(/^00/, 'ff')],
    ['with a trace id of zeros', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`],
    ['with a span id of zeros', `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`],
    ['in upper case', valid.toUpperCase()],
    ['sent twice', `${valid},${valid}`],
    ['sent twice, joined with a space', `${valid}, ${valid}`],
    ['with more fields in version 00', `${valid}-00`],
    ['with a line break', `${valid}\n`],
    ['with spaces around it', ` ${valid} `],
    ['with a short trace id', valid.replace('0af7', '0af')],
    ['without flags', valid.slice(0, -3)],
    ['of 64 KB', `01-${valid.slice(3)}-${'a'.repeat(65_536)}`],
    ['of another type', 42],
  ];
  for (const [name, value] of invalid)
    test(`${name} is ignored`, () => {
      expect(parseTraceparent(value)).toBeUndefined();
    });

  test('survives formatting and parsing', () => {
    fc.assert(
      fc.property(hex(32), hex(16), fc.boolean(), (traceId, spanId, isSampled) => {
        const context = { traceId, spanId, isSampled };
        expect(parseTraceparent(formatTraceparent(context))).toEqual(context);
      }),
    );
  });

  test('that is any text is never a reason to throw', () => {
    fc.assert(fc.property(fc.anything(), (value) => void parseTraceparent(value)));
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseTraceparent(text);
        if (parsed !== undefined) expect(parsed.traceId).toMatch(/^[\da-f]{32}$/);
      }),
    );
  });

  test('of a trace that is not sampled is valid and says so', () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    expect(parseTraceparent(formatUnsampledTraceparent(traceId))).toEqual({
      traceId,
      spanId: '8448eb211c80319c',
      isSampled: false,
    });
  });
});
