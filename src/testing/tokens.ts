import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import type { KeySet, Role } from '@contracts/people.ts';
import { createGuard, type Guard } from '@platform/auth/guard.ts';
import { noRevocations, type Revocations } from '@platform/auth/revocations.ts';
import { createVerifier, type Verifier } from '@platform/auth/verifier.ts';
import type { Clock } from '@platform/clock.ts';

export interface TestTokenOptions {
  /** Relative to the test's clock; a negative value makes an expired token. Default 900. */
  expiresInSeconds?: number;
  sessionId?: string;
  /** Merged over the header and the claims to build invalid tokens; undefined removes a field. */
  header?: Record<string, unknown>;
  claims?: Record<string, unknown>;
}

export interface TestTokens {
  verifier: Verifier;
  /** The platform's guard with `verifier`; tests mount it before their routes. */
  guard: Guard;
  keySet: KeySet;
  /** Signs an access token as the user service does. */
  token(personId: string, role: Role, options?: TestTokenOptions): string;
  /** `{ authorization: 'Bearer …' }` */
  bearer(personId: string, role: Role, options?: TestTokenOptions): { authorization: string };
}

const issuer = 'uit-go-test';
const audience = 'uit-go-test';

/** Creates a key pair, tokens signed with it, and their verifier, for route tests without the user context. */
export function createTestTokens(clock: Clock, revocations: Revocations = noRevocations): TestTokens {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const x = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64url');
  const kid = createHash('sha256').update(x).digest('base64url').slice(0, 16);
  const keySet: KeySet = { keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' }] };
  const verifier = createVerifier({ clock, fetchKeySet: async () => keySet, revocations, issuer, audience });

  function token(personId: string, role: Role, options: TestTokenOptions = {}): string {
    const nowSeconds = Math.floor(clock.nowMs() / 1000);
    const sid = options.sessionId ?? '00000000-0000-7000-8000-000000000000';
    const exp = nowSeconds + (options.expiresInSeconds ?? 900);
    const header = { alg: 'EdDSA', typ: 'at+jwt', kid, ...options.header };
    const claims = { iss: issuer, aud: audience, sub: personId, role, sid, iat: nowSeconds, exp };
    const signed = `${encode(header)}.${encode({ ...claims, ...options.claims })}`;
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
  }

  return {
    verifier,
    guard: createGuard(verifier),
    keySet,
    token,
    bearer: (personId, role, options) => ({ authorization: `Bearer ${token(personId, role, options)}` }),
  };
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
