import type { PersonId } from '@contracts/ids.ts';
import type { Role } from '@contracts/people.ts';
import { jwt } from '@elysiajs/jwt';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Keyring, SigningKey } from '../keys/keyring.ts';

export interface AccessToken {
  token: string;
  expiresAtMs: number;
}

/**
 * Signs access tokens (RFC 9068: `at+jwt`) for src/platform/auth/verifier.ts. `name` is the standard claim
 * of OpenID Connect: services show it to the other participant of a trip without calling this service.
 */
export interface AccessTokens {
  sign(person: { id: PersonId; role: Role; name: string }, sessionId: string): Promise<AccessToken>;
}

export interface AccessTokensDeps {
  keyring: Pick<Keyring, 'currentKey'>;
  clock: Clock;
  ids: Ids;
  issuer: string;
  audience: string;
  lifeSeconds: number;
}

/**
 * The only file that uses @elysiajs/jwt. It only signs, and not as a plugin: the key changes while the
 * process runs, and the platform's verifier is four times as fast as the plugin's `verify`. The library
 * takes `iat` from the machine's clock and accepts no other, but nothing here depends on `iat`.
 */
export function createAccessTokens(options: AccessTokensDeps): AccessTokens {
  const { keyring, clock, ids, issuer, audience, lifeSeconds } = options;
  let signer: { kid: string; sign: ReturnType<typeof createSigner>['sign'] } | undefined;

  return {
    async sign({ id, role, name }, sessionId) {
      const key = await keyring.currentKey();
      if (signer?.kid !== key.kid) signer = { kid: key.kid, sign: createSigner(key, issuer, audience).sign };
      const exp = Math.floor(clock.nowMs() / 1000) + lifeSeconds;
      const token = await signer.sign({ sub: id, role, name, sid: sessionId, jti: ids<string>(), exp });
      return { token, expiresAtMs: exp * 1000 };
    },
  };
}

const createSigner = ({ kid, privateKey }: SigningKey, iss: string, aud: string) =>
  jwt({ secret: privateKey, alg: 'EdDSA', typ: 'at+jwt', kid, iss, aud }).decorator.jwt;
