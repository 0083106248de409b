import { expect, test } from 'bun:test';
import { systemRandom } from '@platform/random.ts';
import { createSecretBox } from './secret-box.ts';

const seal = createSecretBox('a secret of more than 32 letters …', systemRandom);
const plain = Buffer.from('the private half');

test('what is sealed opens with the same secret, and shows nothing meanwhile', () => {
  const sealed = seal.seal(plain, 'key-1');
  expect(Buffer.from(sealed).includes(plain)).toBe(false);
  expect(Buffer.from(seal.open(sealed, 'key-1'))).toEqual(plain);
});

test('sealing the same thing twice gives different texts', () => {
  expect(seal.seal(plain, 'key-1')).not.toEqual(seal.seal(plain, 'key-1'));
});

test('it opens for no other secret, under no other label, and not once changed', () => {
  const sealed = seal.seal(plain, 'key-1');
  const changed = Buffer.from(sealed);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  const stranger = createSecretBox('another secret of over 32 letters …', systemRandom);
  expect(() => stranger.open(sealed, 'key-1')).toThrow('SIGNING_KEY_SECRET');
  expect(() => seal.open(sealed, 'key-2')).toThrow('does not open');
  expect(() => seal.open(changed, 'key-1')).toThrow('does not open');
  expect(() => seal.open(sealed.subarray(0, 10), 'key-1')).toThrow();
});
