import { getRandomValues } from 'node:crypto';

/** The only source of chance. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `length` random bytes. From `systemRandom` they are fit for secrets, from a seed they are not. */
  bytes(length: number): Uint8Array;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (length) => getRandomValues(new Uint8Array(length)),
};

/** The same numbers again for the same seed (mulberry32; passes gjrand, period 2^32). */
export function createSeededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)) };
}
