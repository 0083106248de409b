import { expect, test } from 'bun:test';
import { Value } from '@sinclair/typebox/value';
import { Text } from './common.ts';

test.each(['Ngọc', '🚕', 'a b', '路'])('%p is text', (text) => {
  expect(Value.Check(Text(20), text)).toBe(true);
});

test.each([
  ['a control character', 'a\u0000b'],
  ['a line break', 'a\nb'],
  ['the first half of a pair', 'a\ud83d'],
  ['the second half of a pair', '\ude95b'],
  ['the halves the wrong way round', '\ude95\ud83d'],
  ['nothing', ''],
])('%s is none', (_, text) => {
  expect(Value.Check(Text(20), text)).toBe(false);
});
