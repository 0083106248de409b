import type { LatLng } from '@contracts/geo.ts';
import { offsetPoint } from '@contracts/geo.ts';
import { createSeededRandom, type Random } from '@platform/random.ts';

/**
 * A stream of chance of its own for each rider, driver and trip: what one of them decides does not
 * depend on how the server interleaves the others, so a seed gives the same city again.
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

/** One of `choices`, by weight. Throws RangeError when there is none. */
export function pickWeighted<T extends { weight: number }>(choices: readonly T[], random: Random): T {
  let left = random.next() * choices.reduce((sum, choice) => sum + choice.weight, 0);
  for (const choice of choices) {
    left -= choice.weight;
    if (left < 0) return choice;
  }
  const last = choices.at(-1);
  if (last === undefined) throw new RangeError('nothing to pick from');
  return last;
}

/** A point around `centre`, normally distributed. */
export const scatterAround = (centre: LatLng, sigmaMetres: number, random: Random): LatLng =>
  offsetPoint(centre, drawNormal(random) * sigmaMetres, drawNormal(random) * sigmaMetres);

/** A new array in random order (Fisher–Yates). */
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
