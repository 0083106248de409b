import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { KeySet } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Random } from '@platform/random.ts';
import type { Seal } from './seal.ts';
import type { UserStore } from './store/index.ts';
import type { SigningKeyRow } from './store/keys.ts';

export interface SigningKey {
  kid: string;
  privateKey: KeyObject;
}

/** The signing keys that all instances share through the database. */
export interface Keyring {
  /** Makes the first key unless there is one, and reads them. Throws when they can't be unsealed. */
  prepare(): Promise<void>;
  /** The key to sign with now. */
  current(): Promise<SigningKey>;
  /** Every key that a token in the field may be signed with, newest first. */
  keySet(): Promise<KeySet>;
}

export interface KeyringOptions {
  store: Pick<UserStore, 'signingKeys' | 'addSigningKey'>;
  seal: Seal;
  clock: Clock;
  random: Random;
  log: Log;
  refreshMs: number;
}

export function createKeyring({ store, seal, clock, random, log, refreshMs }: KeyringOptions): Keyring {
  let rows: readonly SigningKeyRow[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  let opened: SigningKey | undefined;

  return {
    async prepare() {
      const nowMs = clock.nowMs();
      await store.addSigningKey(createSigningKeyRow(1, nowMs), nowMs);
      await read();
      open();
    },
    async current() {
      await refresh();
      return open();
    },
    async keySet() {
      await refresh();
      return { keys: published(clock.nowMs()).map(publicKeyOf) };
    },
  };

  /** The newest key that is active, unsealed once. */
  function open(): SigningKey {
    const nowMs = clock.nowMs();
    const row = published(nowMs).find(({ activeFromMs }) => activeFromMs <= nowMs);
    if (row === undefined) throw new Error('there is no signing key: prepare() has not run');
    if (opened?.kid !== row.kid)
      opened = { kid: row.kid, privateKey: keyOfSeed(seal.open(row.sealedSeed, row.kid)) };
    return opened;
  }

  async function refresh(): Promise<void> {
    if (rows.length === 0) return read();
    if (clock.nowMs() - readAtMs < refreshMs) return;
    // Set before the answer: while the database is away one request in `refreshMs` asks it, not each,
    // and the keys known stay in use.
    readAtMs = clock.nowMs();
    await read().catch((error: unknown) =>
      log.warn({ err: error }, 'the signing keys could not be read again'),
    );
  }

  async function read(): Promise<void> {
    rows = await store.signingKeys();
    readAtMs = clock.nowMs();
  }

  function published(nowMs: number): SigningKeyRow[] {
    return rows
      .filter(({ retiredAtMs }) => retiredAtMs === null || retiredAtMs > nowMs)
      .sort((a, b) => b.generation - a.generation);
  }

  function createSigningKeyRow(generation: number, activeFromMs: number): SigningKeyRow {
    const seed = Buffer.from(random.bytes(seedBytes));
    const x = publicPointOf(keyOfSeed(seed));
    const kid = thumbprintOf(x);
    return {
      generation,
      kid,
      publicX: x,
      sealedSeed: seal.close(seed, kid),
      activeFromMs,
      retiredAtMs: null,
    };
  }
}

const seedBytes = 32;
// The fixed head of an Ed25519 private key in PKCS #8 (RFC 8410, section 7); the seed follows it.
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex');
const spkiPointBytes = 32;

const keyOfSeed = (seed: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: 'der', type: 'pkcs8' });

/** The JWK's `x`: the last 32 bytes of the SPKI form. */
const publicPointOf = (key: KeyObject): string =>
  createPublicKey(key)
    .export({ format: 'der', type: 'spki' })
    .subarray(-spkiPointBytes)
    .toString('base64url');

/** RFC 7638: the hash of the members that make the key, in their order. */
const thumbprintOf = (x: string): string =>
  new Bun.CryptoHasher('sha256').update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest('base64url');

const publicKeyOf = ({ kid, publicX }: SigningKeyRow): KeySet['keys'][number] => ({
  kty: 'OKP',
  crv: 'Ed25519',
  x: publicX,
  kid,
  alg: 'EdDSA',
  use: 'sig',
});
