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

/** The key that comes next, and when the ones before it end. */
export interface KeyRotation {
  kid: string;
  activeFromMs: number;
  othersEndAtMs: number;
}

/** The signing keys that all instances share through the database. */
export interface Keyring {
  /** Makes the first key unless there is one, and reads them. Throws when they can't be unsealed. */
  prepare(): Promise<void>;
  /** The key to sign with now. */
  currentKey(): Promise<SigningKey>;
  /** Every key that a token in the field may be signed with, newest first. */
  keySet(): Promise<KeySet>;
  /** The ids of the keys that ended in the last day. */
  findEndedKeyIds(): Promise<string[]>;
  /** Makes the next key when the newest has signed for its time, and forgets those that ended long ago. */
  rotateIfDue(): Promise<void>;
  /**
   * Makes the next key at once. With overlap nobody notices. Without it every access token in the
   * field ends with the key that signed it: for a key that somebody else may have.
   */
  rotate(overlap: boolean): Promise<KeyRotation>;
}

export interface KeyringDeps {
  store: Pick<UserStore, 'findSigningKeys' | 'addSigningKey' | 'deleteSigningKeys'>;
  secretBox: SecretBox;
  clock: Clock;
  random: Random;
  log: Log;
  /** After so long an instance reads the keys again. */
  refreshMs: number;
  /** How long a key signs. */
  lifeMs: number;
  /** The life of the tokens that it signs. */
  tokenLifeMs: number;
}

const dayMs = 24 * 60 * 60 * 1000;
// A verifier asks for a key set that it can't have missed, the cached key set is as young as that too,
// and clocks differ.
const marginMs = 30_000;
const attemptsMax = 5;

export function createKeyring(options: KeyringDeps): Keyring {
  const { store, secretBox, clock, random, log, refreshMs, lifeMs, tokenLifeMs } = options;
  // Published so long before it signs: every instance has read it by then, twice over.
  const leadMs = 2 * refreshMs + marginMs;
  let rows: readonly SigningKeyRow[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  let opened: SigningKey | undefined;

  return {
    async prepare() {
      await read();
      if (rows.length === 0) {
        const nowMs = clock.nowMs();
        await store.addSigningKey(createSigningKeyRow(1, nowMs, secretBox, random), nowMs, nowMs);
        await read();
      }
      open();
    },
    async currentKey() {
      await refresh();
      return open();
    },
    async keySet() {
      await refresh();
      return { keys: published(clock.nowMs()).map(publicKeyOf) };
    },
    async findEndedKeyIds() {
      await read();
      const nowMs = clock.nowMs();
      return rows.filter((row) => hasEnded(row, nowMs)).map(({ kid }) => kid);
    },
    async rotateIfDue() {
      const nowMs = clock.nowMs();
      await store.deleteSigningKeys(nowMs - dayMs);
      await read();
      const newest = newestOf(rows);
      if (newest !== undefined && newest.activeFromMs + lifeMs <= nowMs) await add(newest, true);
    },
    async rotate(overlap) {
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        await read();
        const rotation = await add(newestOf(rows), overlap);
        if (rotation !== undefined) return rotation;
      }
      throw new Error('other instances made a key each time that this one tried to');
    },
  };

  /** The key after `newest`; undefined when another instance was faster. */
  async function add(newest: SigningKeyRow | undefined, overlap: boolean): Promise<KeyRotation | undefined> {
    const nowMs = clock.nowMs();
    const activeFromMs = overlap ? nowMs + leadMs : nowMs;
    // An instance that could not read goes on to sign with the old key for a while.
    const othersEndAtMs = overlap ? activeFromMs + tokenLifeMs + leadMs : nowMs;
    const row = createSigningKeyRow((newest?.generation ?? 0) + 1, activeFromMs, secretBox, random);
    if (!(await store.addSigningKey(row, nowMs, othersEndAtMs))) return undefined;
    log.info({ kid: row.kid, activeFromMs, othersEndAtMs }, 'a new signing key');
    await read();
    return { kid: row.kid, activeFromMs, othersEndAtMs };
  }

  /** The newest key that is active, unsealed once. */
  function open(): SigningKey {
    const nowMs = clock.nowMs();
    const row = published(nowMs).find(({ activeFromMs }) => activeFromMs <= nowMs);
    if (row === undefined) throw new Error('there is no signing key: prepare() has not run');
    if (opened?.kid !== row.kid) opened = { kid: row.kid, privateKey: unsealSigningKey(row, secretBox) };
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
    rows = await store.findSigningKeys();
    readAtMs = clock.nowMs();
  }

  function published(nowMs: number): SigningKeyRow[] {
    return rows.filter((row) => !hasEnded(row, nowMs)).sort((a, b) => b.generation - a.generation);
  }
}

const hasEnded = ({ retiredAtMs }: SigningKeyRow, nowMs: number): boolean =>
  retiredAtMs !== null && retiredAtMs <= nowMs;

const newestOf = (rows: readonly SigningKeyRow[]): SigningKeyRow | undefined =>
  rows.toSorted((a, b) => b.generation - a.generation)[0];
