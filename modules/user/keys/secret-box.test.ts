import { expect, test } from 'bun:test';
import { systemRandom } from '@platform/random.ts';
import { createSecretBox } from './secret-box.ts';

const box = createSecretBox('a secret of more than 32 letters …', systemRandom);
const plain = Buffer.from('the private half');

test('a sealed text opens with the same secret, and does not contain the plain text', () => {
  const sealed = box.seal(plain, 'key-1');
  expect(Buffer.from(sealed).includes(plain)).toBe(false);
  expect(Buffer.from(box.open(sealed, 'key-1'))).toEqual(plain);
});

test('sealing the same text twice gives different results', () => {
  expect(box.seal(plain, 'key-1')).not.toEqual(box.seal(plain, 'key-1'));
});

test('a sealed text does not open with another secret, under another label, or after a change', () => {
  const sealed = box.seal(plain, 'key-1');
  const changed = Buffer.from(sealed);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  const otherBox = createSecretBox('another secret of over 32 letters …', systemRandom);
  expect(() => otherBox.open(sealed, 'key-1')).toThrow('SIGNING_KEY_SECRET');
  expect(() => box.open(sealed, 'key-2')).toThrow('does not open');
  expect(() => box.open(changed, 'key-1')).toThrow('does not open');
  expect(() => box.open(sealed.subarray(0, 10), 'key-1')).toThrow();
});
