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
  const key = { kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'EdDSA', use: 'sig' } as const;
  return {
    keySet: { keys: [key] },
    issuer,
    audience,
    sign: (claims, expiresAtSeconds) =>
      compactToken('EdDSA', claims, expiresAtSeconds, (bytes) => sign(null, bytes, privateKey)),
  };
}

/** Signs the same tokens with ES256, for programs that do not know EdDSA. */
export function createEs256Signer(): Pick<BenchSigner, 'issuer' | 'audience' | 'sign'> & {
  publicKeyPem: string;
} {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return {
    publicKeyPem: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    issuer,
    audience,
    sign: (claims, expiresAtSeconds) =>
      compactToken('ES256', claims, expiresAtSeconds, (bytes) =>
        sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
      ),
  };
}

const kid = 'bench';
const [issuer, audience] = ['uit-go', 'uit-go'];
const lifetimeSeconds = 900;

function compactToken(
  alg: 'EdDSA' | 'ES256',
  claims: object,
  expiresAtSeconds: number,
  signatureOf: (bytes: Buffer) => Buffer,
): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(expiresAtSeconds);
  const payload = { iss: issuer, aud: audience, iat: exp - lifetimeSeconds, exp, ...claims };
  const signed = `${encode({ alg, typ: 'at+jwt', kid })}.${encode(payload)}`;
  return `${signed}.${signatureOf(Buffer.from(signed)).toString('base64url')}`;
}
