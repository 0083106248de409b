import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { readCursor, writeCursor } from './cursor.ts';

const id = '01a20438-5328-7000-be00-93adcfa25034';
const encoded = (text: string) => Buffer.from(text).toString('base64url');
const codeOf = (text: string) => {
  try {
    return readCursor(text);
  } catch (error) {
    return (error as { code?: string }).code;
  }
};

test('reading a cursor returns what was written', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.integer({ min: 0, max: 999_999_999_999_999 }), (uuid, atMs) => {
      expect(readCursor(writeCursor({ atMs, id: uuid }))).toEqual({ atMs, id: uuid });
    }),
  );
  expect(readCursor(undefined)).toBeUndefined();
});

test.each([
  ['36 hyphens for an id', encoded(`1760000000000.${'-'.repeat(36)}`)],
  ['hyphens in the wrong places', encoded(`1760000000000.${id.replace('-', 'a').replace('a', '-')}`)],
  ['36 digits without hyphens', encoded(`1760000000000.${'a'.repeat(36)}`)],
  ['an id in capitals', encoded(`1760000000000.${id.toUpperCase()}`)],
  ['a second id', encoded(`1760000000000.${id}.${id}`)],
  ['no time', encoded(`.${id}`)],
  ['a negative time', encoded(`-1.${id}`)],
  ['a time with a fraction', encoded(`1.5.${id}`)],
  ['a time with leading zeros', encoded(`0017.${id}`)],
  ['a time with too many digits', encoded(`9999999999999999.${id}`)],
  ['a line break at the end', encoded(`1760000000000.${id}\n`)],
  ['an empty text', ''],
  ['text that is not base64url', '%%%'],
  ['the padding of base64', `${encoded(`1760000000000.${id}`)}==`],
  ['characters that base64 decoders skip', ` ${encoded(`1760000000000.${id}`)}\n`],
  ['plain text', `1760000000000.${id}`],
])('reading %s throws request.cursor_invalid', (_, text) =>
  expect(codeOf(text)).toBe('request.cursor_invalid'),
);

test('arbitrary text is either rejected or a cursor that is written the same way', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string().map(encoded)), (text) => {
      const read = codeOf(text);
      if (typeof read === 'object') expect(writeCursor(read)).toBe(text);
      else expect(read).toBe('request.cursor_invalid');
    }),
  );
});
