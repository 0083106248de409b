import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeySet } from '../../src/contracts/people.ts';

/** Signs access tokens as the user service does, without a database. */
export interface BenchSigner {
  keySet: KeySet;
  issuer: string;
  audience: string;
  sign(claims: object, expiresAtSeconds: number): string;
}

export function createBenchSigner(): BenchSigner {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const x = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64url');
  const kid = 'bench';
  const [issuer, audience] = ['uit-go', 'uit-go'];
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = encode({ alg: 'EdDSA', typ: 'at+jwt', kid });

  return {
    keySet: { keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' }] },
    issuer,
    audience,
    sign(claims, expiresAtSeconds) {
      const exp = Math.floor(expiresAtSeconds);
      const signed = `${head}.${encode({ iss: issuer, aud: audience, iat: exp - 900, exp, ...claims })}`;
      return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
    },
  };
}
