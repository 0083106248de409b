import { describe, expect, test } from 'bun:test';
import { Value } from '@sinclair/typebox/value';
import fc from 'fast-check';
import { canonicalEmail, Email } from './email.ts';

describe('all spellings of an address have one canonical form', () => {
  test.each([
    ['Linh@Example.com', 'linh@example.com'],
    ['ngọc@example.com'.normalize('NFD'), 'ngọc@example.com'],
    ['NGỌC@example.com', 'ngọc@example.com'],
    ['a@bücher.example', 'a@xn--bcher-kva.example'],
    ['a@BÜCHER.example'.normalize('NFD'), 'a@xn--bcher-kva.example'],
    ['a@XN--BCHER-KVA.example', 'a@xn--bcher-kva.example'],
    ['a@例え.テスト', 'a@xn--r8jz45g.xn--zckzah'],
    ['a@ｅｘａｍｐｌｅ.com', 'a@example.com'],
    ['a@example。com', 'a@example.com'],
    ['İ@example.com', 'i̇@example.com'],
    ["o'neill+uit.go@mail.example.co", "o'neill+uit.go@mail.example.co"],
    ['उपयोगकर्ता@example.com', 'उपयोगकर्ता@example.com'],
  ])('%p becomes %p', (text, canonical) => {
    expect(canonicalEmail(text)).toBe(canonical);
    expect(Value.Decode(Email, text)).toBe(canonical);
  });
});

describe('text that is not an address is rejected', () => {
  test.each([
    ['nothing', ''],
    ['no at sign', 'example.com'],
    ['no local part', '@example.com'],
    ['no domain', 'a@'],
    ['a domain of one label', 'a@localhost'],
    ['two at signs', 'a@b@example.com'],
    ['a space', 'a b@example.com'],
    ['an empty label', 'a@example..com'],
    ['a dot at the beginning', 'a@.example.com'],
    ['a dot at the end', 'a@example.com.'],
    ['an IPv4 address', 'a@127.0.0.1'],
    ['an IPv4 address in short', 'a@127.1'],
    ['an IPv6 address', 'a@[::1]'],
    ['a port', 'a@example.com:25'],
    ['a path', 'a@example.com/x'],
    ['a query', 'a@example.com?x'],
    ['an escape', 'a@ex%61mple.com'],
    ['a hyphen at an end', 'a@-example.com'],
    ['an underscore', 'a@exa_mple.com'],
    ['invalid punycode', 'a@xn--a.example'],
    ['a long label', `a@${'x'.repeat(64)}.com`],
    ['a long local part', `${'x'.repeat(65)}@example.com`],
    ['a long address', `a@${'xxxxxxxxx.'.repeat(26)}com`],
    [
      'an address that is too long only in DNS form',
      `a@${`${'ü'.repeat(50)}.`.repeat(4)}${'ü'.repeat(30)}.com`,
    ],
    ['a zero-width space', 'a\u200b@example.com'],
    ['a soft hyphen in the domain', 'a@exam\u00adple.com'],
    ['a change of direction', 'a\u202e@example.com'],
    ['a control character', 'a\u0000@example.com'],
    ['a lone surrogate', 'a\ud800@example.com'],
  ])('%s', (_, text) => {
    expect(canonicalEmail(text)).toBeUndefined();
    expect(Value.Check(Email, text)).toBe(false);
  });
});

const word = fc.array(
  fc.constantFrom('a', 'Z', '7', 'ü', 'U\u0308', 'ệ', 'İ', 'ß', 'ſ', 'ﬁ', 'K', '例', '-', '\u200d'),
  {
    minLength: 1,
    maxLength: 8,
  },
);
const emails = fc
  .tuple(word, word, word)
  .map(([user, host, top]) => `${user.join('')}@${host.join('')}.${top.join('')}`);

test('the canonical form is stable, and the same for every case and Unicode composition', () => {
  fc.assert(
    fc.property(emails, (text) => {
      const canonical = canonicalEmail(text);
      if (canonical === undefined) return;
      expect(canonicalEmail(canonical)).toBe(canonical);
      for (const spelling of [text.normalize('NFC'), text.normalize('NFD'), text.toLowerCase()])
        expect([spelling, canonicalEmail(spelling)]).toEqual([spelling, canonical]);
    }),
    { numRuns: 2_000 },
  );
});
