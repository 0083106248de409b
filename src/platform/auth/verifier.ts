import { createPublicKey, type KeyObject, verify as verifySignature } from 'node:crypto';
import type { PersonId } from '@contracts/ids.ts';
import { type KeySet, nameLengthMax, Role } from '@contracts/people.ts';
import { Value } from '@sinclair/typebox/value';
import type { Clock } from '../clock.ts';
import { problem } from '../problems.ts';
import type { Revocations } from './revocations.ts';

/** The authenticated person of a request, from a verified access token. */
export interface Principal {
  id: PersonId;
  role: Role;
  /** As the person wrote it; null when the token has no name, as older tokens did not. */
  name: string | null;
  /** The login session of the token. */
  sessionId: string;
  expiresAtMs: number;
}

/** Fetches the current key set. Called again for an unknown key id, at most once in `refreshMs`. */
export type FetchKeySet = () => Promise<KeySet>;

export interface VerifierOptions {
  clock: Clock;
  fetchKeySet: FetchKeySet;
  revocations: Revocations;
  issuer: string;
  audience: string;
}

export type IsSessionRevoked = (sessionId: string) => boolean;

/** Verifies access tokens. Synchronous for a cached token, since that is the edge's hot path. */
export interface Verifier {
  /** Throws `auth.token_invalid`, `auth.token_expired` or `auth.token_revoked`. */
  verify(token: string): Principal | Promise<Principal>;
  /** For what outlives its request: returns a function that tests whether a login session is known to be revoked. */
  loadRevokedSessions(): Promise<IsSessionRevoked>;
}

const tokenLengthMax = 2_048;
const signatureBytes = 64;
const cachedTokensMax = 50_000;
const leewaySeconds = 30;
const refreshMs = 5_000;

/**
 * Accepts EdDSA only, selects the key by its id, and checks issuer, audience, type and expiry. node:crypto verifies in
 * about 80 µs where WebCrypto takes 240 µs. A verified token is cached (bounded), and never used after its expiry or
 * after the revocation of its session or of its signing key.
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { clock, fetchKeySet, revocations, issuer, audience } = options;
  const verified = new Map<string, Principal>();
  const keyById = new Map<string, KeyObject>();
  let revokedKeyIds: ReadonlySet<string> = new Set();
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
      const refreshed = revocations.refreshIfStale(nowMs);
      // A key that was revoked meanwhile has cleared the cache, so the token must be verified again.
      if (refreshed !== undefined)
        return refreshed.then(() => (verified.has(token) ? rejectRevoked(known) : verifyNew(token)));
      return rejectRevoked(known);
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
    // RFC 7515, section 4.1.11: an unknown critical extension makes the token invalid.
    if (crit !== undefined) throw problem('auth.token_invalid');
    await revocations.refreshIfStale(clock.nowMs());
    const key = await keyOf(kid);
    if (key === undefined || !isSigned(`${head}.${payload}`, signature, key))
      throw problem('auth.token_invalid');
    const principal = rejectRevoked(readClaims(readJson(payload)));
    if (verified.size >= cachedTokensMax) verified.delete(verified.keys().next().value ?? '');
    verified.set(token, principal);
    return principal;
  }

  function rejectRevoked(principal: Principal): Principal {
    if (revocations.isRevoked(principal.sessionId)) throw problem('auth.token_revoked');
    return principal;
  }

  /** A revoked key invalidates every token that it signed. */
  function dropKeys(keyIds: readonly string[]): void {
    revokedKeyIds = new Set(keyIds);
    const dropped = keyIds.filter((kid) => keyById.delete(kid));
    if (dropped.length > 0) verified.clear();
  }

  function readClaims(claims: Record<string, unknown> | undefined): Principal {
    const { iss, aud, sub, role, name, sid, exp, nbf } = claims ?? {};
    const isForUs = iss === issuer && aud === audience;
    if (
      !isForUs ||
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
    // Anyone can send an unknown kid, so the key set is fetched at most once in `refreshMs`.
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
      if (revokedKeyIds.has(kid)) continue;
      keyById.set(kid, createPublicKey({ key: { kty, crv, x }, format: 'jwk' }));
    }
  }
}

/** A missing or too long name does not make the token invalid, since it is only displayed. */
const readName = (name: unknown): string | null =>
  typeof name === 'string' && name.length <= nameLengthMax ? name : null;

/** Accepts only the canonical spelling of a signature: others would fill the cache with copies of one token. */
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
