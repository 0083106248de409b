import { expect, test } from 'bun:test';
import { firstNameOf } from './first-name.ts';

test.each([
  ['Nguyễn Văn An', 'An'],
  ['TRẦN THỊ BÍCH', 'BÍCH'],
  ['Lê An'.normalize('NFD'), 'An'],
  ['Anna Smith', 'Anna'],
  ['  Jean-Luc   Picard ', 'Jean-Luc'],
  ['Linh', 'Linh'],
  ['Nguyễn', 'Nguyễn'],
  ['', null],
  ['   ', null],
  [null, null],
])('for the rider name %p the driver sees %p', (name, firstName) => {
  expect(firstNameOf(name)).toBe(firstName);
});
