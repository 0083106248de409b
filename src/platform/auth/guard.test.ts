import { expect, test } from 'bun:test';
import { Problem } from '../problems.ts';
import { bearerToken } from './guard.ts';

test.each(['Bearer abc', 'bearer abc', 'BEARER abc', 'Bearer  abc', `Bearer${' '.repeat(20)}abc`])(
  '%p contains the token abc',
  (header) => expect(bearerToken(header)).toBe('abc'),
);

test.each([
  undefined,
  null,
  '',
  'Bearer',
  'Bearer ',
  'Bearer    ',
  'Bearer\tabc',
  'Bearerabc',
  'Basic abc',
  ' Bearer abc',
])('%p contains no token', (header) => {
  const read = () => bearerToken(header);
  expect(read).toThrow(Problem);
  expect(read).toThrow('auth.token_missing');
});
