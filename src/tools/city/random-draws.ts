import type { LatLng } from '@contracts/geo.ts';
import { offsetPoint } from '@contracts/geo.ts';
import { createSeededRandom, type Random } from '@platform/random.ts';

/**
 * Creates a random stream for one rider, driver or trip. The decisions of one person do not depend on how the server
 * interleaves the others, so a seed reproduces the same city.
 */
export function createLabelledRandom(seed: number, label: string): Random {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(`${seed}/${label}`)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return createSeededRandom(hash);
}

export const drawBetween = (random: Random, low: number, high: number): number =>
  low + random.next() * (high - low);

export const drawBoolean = (random: Random, rate: number): boolean => random.next() < rate;

/** Standard normal (Box–Muller). */
export function drawNormal(random: Random): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
  return radius * Math.cos(2 * Math.PI * random.next());
}

/** Picks one of `choices` by weight. Throws RangeError if there are none. */
export function pickWeighted<T extends { weight: number }>(choices: readonly T[], random: Random): T {
  let remaining = random.next() * choices.reduce((sum, choice) => sum + choice.weight, 0);
  for (const choice of choices) {
    remaining -= choice.weight;
    if (remaining < 0) return choice;
  }
  const last = choices.at(-1);
  if (last === undefined) throw new RangeError('nothing to pick from');
  return last;
}

/** A point around `centre`, normally distributed. */
export const scatterAround = (centre: LatLng, sigmaMetres: number, random: Random): LatLng =>
  offsetPoint(centre, drawNormal(random) * sigmaMetres, drawNormal(random) * sigmaMetres);

/** Returns a new array in random order (Fisher–Yates). */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random.next() * (last + 1));
    const [a, b] = [result[last], result[other]];
    if (a === undefined || b === undefined) continue;
    result[last] = b;
    result[other] = a;
  }
  return result;
}
