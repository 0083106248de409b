import { describe, expect, test } from 'bun:test';
import { Value } from '@sinclair/typebox/value';
import fc from 'fast-check';
import { isPrintable, normaliseText, Text } from './text.ts';

const isText = (text: string) => Value.Check(Text(60), text);

describe('text that people write is accepted', () => {
  test.each([
    ['Vietnamese', 'Nguyễn Thị Ngọc Ánh'],
    ['decomposed Vietnamese', 'Nguyễn Thị Ngọc Ánh'.normalize('NFD')],
    ['Arabic', 'محمد العربي'],
    ['Arabic with vowel signs', 'مُحَمَّد'],
    ['Persian with a non-joiner', 'می\u200cخواهم'],
    ['Hebrew', 'דָּוִד בֶּן־גּוּרִיּוֹן'],
    ['Hindi with a joiner', 'क्\u200dष'],
    ['Sinhala with a joiner', 'ශ්\u200dරී ලංකා'],
    ['Malayalam with a final joiner', 'അവന്\u200d'],
    ['Tamil', 'தமிழ்'],
    ['Thai', 'กรุงเทพฯ'],
    ['Chinese', '路易'],
    ['a rare Chinese character', '𠮷野家'],
    ['Japanese with a variation selector', '葛\u{e0100}飾'],
    ['Korean', '김철수'],
    ['Mongolian', 'ᠮᠣᠩᠭᠣᠯ\u180b'],
    ['an apostrophe', "O'Neill-Ó Dálaigh"],
    ['an emoji', '🚕'],
    ['an emoji of several people', '👨\u200d👩\u200d👧\u200d👦'],
    ['an emoji with a skin tone', '👩🏽\u200d🚀'],
    ['a heart in colour', '❤\ufe0f\u200d🔥'],
    ['a keycap', '1\ufe0f\u20e3'],
    ['a flag of letters', '🇻🇳'],
    ['a flag of tags', '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}'],
    ['a plate', '51F-123.45'],
  ])('%s', (_, text) => expect(isText(text)).toBe(true));
});

describe('text that is invisible or misleading is rejected', () => {
  test.each([
    ['nothing', ''],
    ['spaces', '   '],
    ['no-break and ideographic spaces', '\u00a0\u3000\u2007'],
    ['zero-width spaces', '\u200b\u200b'],
    ['joiners alone', '\u200d\u200c'],
    ['a byte order mark', '\ufeff'],
    ['word joiners', '\u2060\u2060'],
    ['Hangul fillers', '\u3164\u115f\uffa0'],
    ['Braille blanks', '\u2800'],
    ['marks without a letter', '\u0301\u0302'],
    ['a variation selector', '\ufe0f'],
    ['tags alone', '\u{e0041}\u{e0042}'],
    ['a right-to-left override', 'abc\u202edef'],
    ['an override alone', '\u202e'],
    ['an isolate', 'a\u2066b\u2069'],
    ['an embedding', '\u202aabc\u202c'],
    ['a direction mark', 'abc\u200f'],
    ['a soft hyphen', 'a\u00adb'],
    ['a zero-width space inside', 'a\u200bb'],
    ['a joiner at the beginning', '\u200dab'],
    ['a joiner after a space', 'a \u200db'],
    ['two joiners in a row', 'क\u200d\u200dष'],
    ['tags after a letter', 'a\u{e0041}\u{e007f}'],
    ['a control character', 'a\u0000b'],
    ['an escape', 'a\u001b[31mb'],
    ['a line break', 'a\nb'],
    ['a tab', 'a\tb'],
    ['a C1 control', 'a\u0085b'],
    ['a line separator', 'a\u2028b'],
    ['private use', 'a\ue000b'],
    ['an unassigned character', 'a\u{3fffd}b'],
    ['a noncharacter', 'a\uffffb'],
    ['the replacement character', 'a\ufffdb'],
    ['a lone high surrogate', 'a\ud83d'],
    ['a lone low surrogate', '\ude95b'],
    ['surrogates in the wrong order', '\ude95\ud83d'],
  ])('%s', (_, text) => expect(isText(text)).toBe(false));
});

describe('length is that of the normalised text, in UTF-16 code units', () => {
  test.each([
    ['60 decomposed letters', 'ệ'.repeat(60).normalize('NFD'), true],
    ['61 letters', 'ệ'.repeat(61), false],
    ['30 emoji', '🚕'.repeat(30), true],
    ['31 emoji', '🚕'.repeat(31), false],
    ['spaces around', `${' '.repeat(80)}a${' '.repeat(80)}`, true],
    ['more spaces than the raw limit', `${' '.repeat(300)}a`, false],
  ])('%s', (_, text, isAccepted) => expect(isText(text)).toBe(isAccepted));

  test('surrounding spaces do not count towards the minimum length', () => {
    expect(Value.Check(Text(500, 3), 'a  ')).toBe(false);
    expect(Value.Check(Text(500, 3), 'a b')).toBe(true);
  });
});

describe('accepted text is stored in one spelling', () => {
  test.each([
    ['  Linh  ', 'Linh'],
    ['An\u00a0\u3000Bình', 'An Bình'],
    ['Ngọc'.normalize('NFD'), 'Ngọc'],
    ['\u212bngström', '\u00c5ngström'],
  ])('%p becomes %p', (text, normalised) => expect(Value.Decode(Text(60), text)).toBe(normalised));

  const anyText = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
    fc
      .array(
        fc.constantFrom(
          'a',
          'ệ',
          'e\u0323\u0302',
          ' ',
          '\u00a0',
          '\u200d',
          '\u200b',
          '\u202e',
          '🚕',
          '\u0301',
        ),
        {
          maxLength: 12,
        },
      )
      .map((parts) => parts.join('')),
  );

  test('normalising twice changes nothing, and accepted text stays accepted', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const normalised = normaliseText(text);
        expect(normaliseText(normalised)).toBe(normalised);
        if (!Value.Check(Text(200), text)) return;
        expect(Value.Decode(Text(200), normalised)).toBe(normalised);
        expect(normalised).toBe(normalised.trim());
      }),
      { numRuns: 2_000 },
    );
  });

  test('accepted text is well-formed and has no control characters and no direction changes', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const normalised = normaliseText(text);
        if (!isPrintable(normalised)) return;
        expect(normalised.isWellFormed()).toBe(true);
        expect(normalised).not.toMatch(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]/u);
        expect(normalised).toMatch(/\S/);
      }),
      { numRuns: 2_000 },
    );
  });
});
