import { createHash } from 'node:crypto';
import type { Random } from '@platform/random.ts';

export interface RefreshToken {
  /** What the client keeps; never stored, never logged. */
  token: string;
  hash: Uint8Array;
}

const secretBytes = 32;

export function createRefreshToken(random: Random): RefreshToken {
  const token = Buffer.from(random.bytes(secretBytes)).toString('base64url');
  return { token, hash: hashRefreshToken(token) };
}

/** Plain SHA-256 does for 256 random bits: there is nothing to guess that a slow hash would protect. */
export const hashRefreshToken = (token: string): Uint8Array => createHash('sha256').update(token).digest();
