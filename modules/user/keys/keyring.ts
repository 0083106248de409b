import type { KeyObject } from 'node:crypto';
import type { KeySet } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Random } from '@platform/random.ts';
import type { SigningKeyRow } from '../store/signing-keys.ts';
import type { UserStore } from '../store/store.ts';
import type { SecretBox } from './secret-box.ts';
import { createSigningKeyRow, publicKeyOf, unsealSigningKey } from './signing-key.ts';

export interface SigningKey {
  kid: string;
  privateKey: KeyObject;
}

/** The new key, and when the older keys end. */
export interface KeyRotation {
  kid: string;
  activeFromMs: number;
  othersEndAtMs: number;
}

/** The signing keys, which all instances share through the database. */
export interface Keyring {
  /** Reads the keys, and creates the first one if there is none. Throws if they can't be decrypted. */
  prepare(): Promise<void>;
  /** The key that signs now. */
  currentKey(): Promise<SigningKey>;
  /** Every key that may have signed a token that is still valid, newest first. */
  keySet(): Promise<KeySet>;
  /** The ids of the keys that ended in the last day. */
  findEndedKeyIds(): Promise<string[]>;
  /** Creates the next key when the newest one has reached its lifetime, and deletes keys that ended a day ago. */
  rotateIfDue(): Promise<void>;
  /**
   * Creates the next key at once. With overlap, existing access tokens stay valid until they expire.
   * Without overlap, for a compromised key, they end together with the keys that signed them.
   */
  rotate(overlap: boolean): Promise<KeyRotation>;
}

export interface KeyringDeps {
  store: Pick<UserStore, 'findSigningKeys' | 'addSigningKey' | 'deleteSigningKeys'>;
  secretBox: SecretBox;
  clock: Clock;
  random: Random;
  log: Log;
  /** How long an instance uses the keys before it reads them again. */
  refreshMs: number;
  /** How long a key signs before the next one replaces it. */
  lifeMs: number;
  /** The lifetime of the access tokens that the keys sign. */
  tokenLifeMs: number;
}

const dayMs = 24 * 60 * 60 * 1000;
// Covers the age of a key set in a cache or a verifier, and the difference between clocks.
const marginMs = 30_000;
const attemptsMax = 5;

export function createKeyring(options: KeyringDeps): Keyring {
  const { store, secretBox, clock, random, log, refreshMs, lifeMs, tokenLifeMs } = options;
  // A key is published this long before it signs, so that every instance has read it at least once, with reserve.
  const leadMs = 2 * refreshMs + marginMs;
  let rows: readonly SigningKeyRow[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  let cachedKey: SigningKey | undefined;

  return {
    async prepare() {
      await readKeys();
      if (rows.length === 0) {
        const nowMs = clock.nowMs();
        await store.addSigningKey(createSigningKeyRow(1, nowMs, secretBox, random), nowMs, nowMs);
        await readKeys();
      }
      openActiveKey();
    },
    async currentKey() {
      await refreshIfStale();
      return openActiveKey();
    },
    async keySet() {
      await refreshIfStale();
      return { keys: publishedKeys(clock.nowMs()).map(publicKeyOf) };
    },
    async findEndedKeyIds() {
      await readKeys();
      const nowMs = clock.nowMs();
      return rows.filter((row) => hasEnded(row, nowMs)).map(({ kid }) => kid);
    },
    async rotateIfDue() {
      const nowMs = clock.nowMs();
      await store.deleteSigningKeys(nowMs - dayMs);
      await readKeys();
      const newest = newestOf(rows);
      if (newest !== undefined && newest.activeFromMs + lifeMs <= nowMs) await createKeyAfter(newest, true);
    },
    async rotate(overlap) {
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        await readKeys();
        const rotation = await createKeyAfter(newestOf(rows), overlap);
        if (rotation !== undefined) return rotation;
      }
      throw new Error('other instances created a signing key at each attempt');
    },
  };

  /** Creates the key after `newest`. Undefined if another instance was faster. */
  async function createKeyAfter(
    newest: SigningKeyRow | undefined,
    overlap: boolean,
  ): Promise<KeyRotation | undefined> {
    const nowMs = clock.nowMs();
    const activeFromMs = overlap ? nowMs + leadMs : nowMs;
    // An instance that could not read the keys goes on signing with the old key for a while.
    const othersEndAtMs = overlap ? activeFromMs + tokenLifeMs + leadMs : nowMs;
    const row = createSigningKeyRow((newest?.generation ?? 0) + 1, activeFromMs, secretBox, random);
    if (!(await store.addSigningKey(row, nowMs, othersEndAtMs))) return undefined;
    log.info({ kid: row.kid, activeFromMs, othersEndAtMs }, 'created signing key');
    await readKeys();
    return { kid: row.kid, activeFromMs, othersEndAtMs };
  }

  /** The newest active key. It is decrypted once and then cached. */
  function openActiveKey(): SigningKey {
    const nowMs = clock.nowMs();
    const row = publishedKeys(nowMs).find(({ activeFromMs }) => activeFromMs <= nowMs);
    if (row === undefined) throw new Error('there is no signing key: prepare() has not run');
    if (cachedKey?.kid !== row.kid)
      cachedKey = { kid: row.kid, privateKey: unsealSigningKey(row, secretBox) };
    return cachedKey;
  }

  async function refreshIfStale(): Promise<void> {
    if (rows.length === 0) return readKeys();
    if (clock.nowMs() - readAtMs < refreshMs) return;
    // Set before the read: while the database is unavailable, only one request per `refreshMs` queries it,
    // and the known keys stay in use.
    readAtMs = clock.nowMs();
    await readKeys().catch((error: unknown) => log.warn({ err: error }, 'failed to refresh signing keys'));
  }

  async function readKeys(): Promise<void> {
    rows = await store.findSigningKeys();
    readAtMs = clock.nowMs();
  }

  function publishedKeys(nowMs: number): SigningKeyRow[] {
    return rows.filter((row) => !hasEnded(row, nowMs)).sort((a, b) => b.generation - a.generation);
  }
}

const hasEnded = ({ retiredAtMs }: SigningKeyRow, nowMs: number): boolean =>
  retiredAtMs !== null && retiredAtMs <= nowMs;

const newestOf = (rows: readonly SigningKeyRow[]): SigningKeyRow | undefined =>
  rows.toSorted((a, b) => b.generation - a.generation)[0];
