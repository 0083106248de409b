import { createPublicKey, type KeyObject, verify as verifySignature } from 'node:crypto';
import type { PersonId } from '@contracts/ids.ts';
import { type KeySet, nameLengthMax, Role } from '@contracts/people.ts';
import { Value } from '@sinclair/typebox/value';
import type { Clock } from '../clock.ts';
import { problem } from '../problems.ts';
import type { Revocations } from './revocations.ts';

/** Who is asking, as a verified access token says. */
export interface Principal {
  id: PersonId;
  role: Role;
  /** As the person wrote it; null when the token does not say, as those signed before it was a claim. */
  name: string | null;
  /** The login that the token stems from. */
  sessionId: string;
  expiresAtMs: number;
}

/** Gives the current key set; called again when an unknown key id turns up (at most once in `refreshMs`). */
export type FetchKeySet = () => Promise<KeySet>;

export interface VerifierOptions {
  clock: Clock;
  fetchKeySet: FetchKeySet;
  revocations: Revocations;
  issuer: string;
  audience: string;
}

export type IsSessionRevoked = (sessionId: string) => boolean;

/** Verifies access tokens. Synchronous for a token seen before, since that is the edge's hot path. */
export interface Verifier {
  /** Throws `auth.token_invalid`, `auth.token_expired` or `auth.token_revoked`. */
  verify(token: string): Principal | Promise<Principal>;
  /** For what outlives its request: tells of a session whether it has ended, as far as is known by now. */
  loadRevokedSessions(): Promise<IsSessionRevoked>;
}

const tokenLengthMax = 2_048;
const signatureBytes = 64;
const cachedTokensMax = 50_000;
const leewaySeconds = 30;
const refreshMs = 5_000;

/**
 * EdDSA only, by key id, with issuer, audience, type and expiry checked. node:crypto verifies in
 * about 80 µs where WebCrypto takes 240 µs; a token verified once is answered from a bounded cache,
 * never past its expiry, its session's end or the end of the key that signed it.
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { clock, fetchKeySet, revocations, issuer, audience } = options;
  const verified = new Map<string, Principal>();
  const keyById = new Map<string, KeyObject>();
  let endedKeyIds: ReadonlySet<string> = new Set();
  let refreshedAtMs = Number.NEGATIVE_INFINITY;
  let refreshing: Promise<void> | undefined;
  revocations.onRevokedKeys(dropKeys);

  return {
    verify(token) {
      const known = verified.get(token);
      if (known === undefined) return verifyNew(token);
      const nowMs = clock.nowMs();
      if (known.expiresAtMs <= nowMs) {
        verified.delete(token);
        throw problem('auth.token_expired');
      }
      const freshening = revocations.refreshIfStale(nowMs);
      // A key that ended meanwhile has emptied the cache: the token is looked at anew.
      if (freshening !== undefined)
        return freshening.then(() => (verified.has(token) ? admit(known) : verifyNew(token)));
      return admit(known);
    },
    async loadRevokedSessions() {
      await revocations.refreshIfStale(clock.nowMs());
      return revocations.isRevoked;
    },
  };

  async function verifyNew(token: string): Promise<Principal> {
    if (token.length > tokenLengthMax) throw problem('auth.token_invalid');
    const [head = '', payload = '', signature = '', ...more] = token.split('.');
    const header = readJson(head);
    const { alg, typ, kid, crit } = header ?? {};
    if (more.length > 0 || alg !== 'EdDSA' || typ !== 'at+jwt' || typeof kid !== 'string')
      throw problem('auth.token_invalid');
    // RFC 7515, section 4.1.11: an extension that must be understood, and is not, refuses the token.
    if (crit !== undefined) throw problem('auth.token_invalid');
    await revocations.refreshIfStale(clock.nowMs());
    const key = await keyOf(kid);
    if (key === undefined || !isSigned(`${head}.${payload}`, signature, key))
      throw problem('auth.token_invalid');
    const principal = admit(readClaims(readJson(payload)));
    if (verified.size >= cachedTokensMax) verified.delete(verified.keys().next().value ?? '');
    verified.set(token, principal);
    return principal;
  }

  function admit(principal: Principal): Principal {
    if (revocations.isRevoked(principal.sessionId)) throw problem('auth.token_revoked');
    return principal;
  }

  /** A key that has ended takes with it whatever it signed. */
  function dropKeys(keyIds: readonly string[]): void {
    endedKeyIds = new Set(keyIds);
    const dropped = keyIds.filter((kid) => keyById.delete(kid));
    if (dropped.length > 0) verified.clear();
  }

  function readClaims(claims: Record<string, unknown> | undefined): Principal {
    const { iss, aud, sub, role, name, sid, exp, nbf } = claims ?? {};
    const rightParty = iss === issuer && aud === audience;
    if (
      !rightParty ||
      typeof sub !== 'string' ||
      typeof sid !== 'string' ||
      typeof exp !== 'number' ||
      !Value.Check(Role, role)
    ) {
      throw problem('auth.token_invalid');
    }
    const nowSeconds = clock.nowMs() / 1000;
    if (typeof nbf === 'number' && nbf > nowSeconds + leewaySeconds) throw problem('auth.token_invalid');
    if (exp <= nowSeconds) throw problem('auth.token_expired');
    return { id: sub as PersonId, role, name: readName(name), sessionId: sid, expiresAtMs: exp * 1000 };
  }

  async function keyOf(kid: string): Promise<KeyObject | undefined> {
    // Anyone can send an unknown kid: it costs us at most one look-up in `refreshMs`.
    if (!keyById.has(kid) && clock.nowMs() - refreshedAtMs >= refreshMs) {
      refreshing ??= refresh().finally(() => {
        refreshing = undefined;
      });
    }
    if (!keyById.has(kid)) await refreshing;
    return keyById.get(kid);
  }

  async function refresh(): Promise<void> {
    const { keys: current } = await fetchKeySet();
    refreshedAtMs = clock.nowMs();
    keyById.clear();
    for (const { kid, kty, crv, x } of current) {
      if (endedKeyIds.has(kid)) continue;
      keyById.set(kid, createPublicKey({ key: { kty, crv, x }, format: 'jwk' }));
    }
  }
}

/** A name that is missing or too long refuses nobody: it is only shown. */
const readName = (name: unknown): string | null =>
  typeof name === 'string' && name.length <= nameLengthMax ? name : null;

/** One signature has one spelling: others would fill the cache with copies of one token. */
function isSigned(text: string, signature: string, key: KeyObject): boolean {
  const bytes = Buffer.from(signature, 'base64url');
  if (bytes.length !== signatureBytes || bytes.toString('base64url') !== signature) return false;
  return verifySignature(null, Buffer.from(text), key, bytes);
}

function readJson(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
