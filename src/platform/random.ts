import { getRandomValues } from 'node:crypto';

/** The only source of randomness. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Returns `length` random bytes. Those of `systemRandom` are fit for secrets, those of a seed are not. */
  bytes(length: number): Uint8Array;
  /** A UUIDv7 for a time in unix milliseconds. For times that do not fall, the ids strictly rise. */
  uuidV7(ms: number): string;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (length) => getRandomValues(new Uint8Array(length)),
  // The runtime's own takes 0.16 µs and makes a flat string; formatted here it took 0.6 µs alone, 2 µs under load.
  uuidV7: (ms) => Bun.randomUUIDv7('hex', ms),
};

/** Returns the same numbers for the same seed (mulberry32; passes gjrand, period 2^32). */
export function createSeededRandom(seed: number): Random {
  let state = seed >>> 0;
  let idMs = 0;
  let idsInMs = 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const bytes = (length: number) => Uint8Array.from({ length }, () => Math.floor(next() * 256));
  return {
    next,
    bytes,
    uuidV7(ms) {
      if (ms > idMs) {
        idMs = ms;
        idsInMs = 0;
      } else if (++idsInMs > countPerMsMax) {
        idMs++;
        idsInMs = 0;
      }
      return formatUuidV7(idMs, idsInMs, bytes(8));
    },
  };
}

/** The 12 bits of `rand_a` count the ids of one millisecond. */
const countPerMsMax = 0xfff;

function formatUuidV7(ms: number, count: number, tail: Uint8Array): string {
  const time = ms.toString(16).padStart(12, '0');
  const version = (0x7000 | count).toString(16);
  const [first = 0, ...rest] = tail;
  const digits = [(first & 0x3f) | 0x80, ...rest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}-${digits.slice(0, 4)}-${digits.slice(4)}`;
}
