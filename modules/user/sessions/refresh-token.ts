import { createHash, createHmac } from 'node:crypto';
import type { Random } from '@platform/random.ts';

export interface RefreshToken {
  /** The secret that only the client keeps. It is never stored and never logged. */
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
 * The token that replaces `token`. It is the same for the same salt, so that a client that retries with
 * `token` gets it again. Deriving it takes both the token, which only the client has, and the salt, which
 * only the database has.
 */
export function successorOf(token: string, salt: Uint8Array): RefreshToken {
  const successor = createHmac('sha256', token).update(salt).digest('base64url');
  return { token: successor, hash: hashRefreshToken(successor) };
}

/** Plain SHA-256 is enough for 256 random bits: they can't be guessed, so a slow hash would protect nothing. */
export const hashRefreshToken = (token: string): Uint8Array => createHash('sha256').update(token).digest();
