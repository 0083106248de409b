import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { KeySet } from '@contracts/people.ts';
import type { Random } from '@platform/random.ts';
import type { SigningKeyRow } from '../store/signing-keys.ts';
import type { SecretBox } from './secret-box.ts';

const seedBytes = 32;
// The fixed header of an Ed25519 private key in PKCS #8 (RFC 8410, section 7). The seed follows it.
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex');
const spkiPointBytes = 32;

/** Creates a key with its seed encrypted. */
export function createSigningKeyRow(
  generation: number,
  activeFromMs: number,
  secretBox: SecretBox,
  random: Random,
): SigningKeyRow {
  const seed = Buffer.from(random.bytes(seedBytes));
  const x = publicPointOf(keyOfSeed(seed));
  const kid = thumbprintOf(x);
  return {
    generation,
    kid,
    publicX: x,
    sealedSeed: secretBox.seal(seed, kid),
    activeFromMs,
    retiredAtMs: null,
  };
}

export const unsealSigningKey = ({ sealedSeed, kid }: SigningKeyRow, secretBox: SecretBox): KeyObject =>
  keyOfSeed(secretBox.open(sealedSeed, kid));

export const publicKeyOf = ({ kid, publicX }: SigningKeyRow): KeySet['keys'][number] => ({
  kty: 'OKP',
  crv: 'Ed25519',
  x: publicX,
  kid,
  alg: 'EdDSA',
  use: 'sig',
});

const keyOfSeed = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: 'der', type: 'pkcs8' });

/** The `x` of the JWK: the last 32 bytes of the SPKI encoding. */
const publicPointOf = (key: KeyObject): string =>
  createPublicKey(key)
    .export({ format: 'der', type: 'spki' })
    .subarray(-spkiPointBytes)
    .toString('base64url');

/** RFC 7638: the hash of the required members in lexicographic order. */
const thumbprintOf = (x: string): string =>
  new Bun.CryptoHasher('sha256').update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest('base64url');
