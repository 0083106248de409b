import { createHash, createHmac } from 'node:crypto';
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

export const createSalt = (random: Random): Uint8Array => random.bytes(secretBytes);

/**
 * The token that takes the place of `token`: the same again for the same salt, so that it can be given
 * again to a client that shows `token` again. It takes both, one that only clients have and one that
 * only the database has, to make it.
 */
export function successorOf(token: string, salt: Uint8Array): RefreshToken {
  const successor = createHmac('sha256', token).update(salt).digest('base64url');
  return { token: successor, hash: hashRefreshToken(successor) };
}

/** Plain SHA-256 does for 256 random bits: there is nothing to guess that a slow hash would protect. */
export const hashRefreshToken = (token: string): Uint8Array => createHash('sha256').update(token).digest();
