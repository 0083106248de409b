import { createSeededRandom, type Random } from '@platform/random.ts';
import { drawBetween, shuffled } from '../city/random-draws.ts';
import type { ChaosFaultKind, FaultTarget } from './fault.ts';

export interface PlannedFault {
  kind: string;
  target: FaultTarget;
  /** The time from the start of its round. */
  atMs: number;
  durationMs: number;
}

/** Faults in quick succession, after which everything is healed. */
export interface FaultRound {
  faults: readonly PlannedFault[];
}

const faultsPerRound = { min: 5, max: 9 };
const gapMs = { min: 200, max: 2_200 };

/**
 * Endless rounds of faults; the same seed and kinds give the same rounds. Kinds are drawn from a bag that
 * holds each kind as often as its weight and is refilled when empty, so every kind is used.
 */
export function* planRounds(seed: number, kinds: readonly ChaosFaultKind[]): Generator<FaultRound, never> {
  const random = createSeededRandom(seed);
  let bag: ChaosFaultKind[] = [];
  const draw = (): ChaosFaultKind => {
    if (bag.length === 0)
      bag = shuffled(
        kinds.flatMap((kind) => Array.from({ length: kind.weight }, () => kind)),
        random,
      );
    const kind = bag.pop();
    if (kind === undefined) throw new RangeError('no kind of fault to draw from');
    return kind;
  };
  for (;;) yield planRound(random, draw);
}

/** The faults that cannot be healed, once after all rounds; none when no such kind was selected. */
export const planFinale = (kinds: readonly ChaosFaultKind[]): FaultRound => ({
  faults: kinds
    .filter(({ weight }) => weight === 0)
    .flatMap(({ name, targets }) =>
      targets.map((target) => ({ kind: name, target, atMs: 0, durationMs: 0 })),
    ),
});

function planRound(random: Random, draw: () => ChaosFaultKind): FaultRound {
  const faults: PlannedFault[] = [];
  const busyUntilMs = new Map<string, number>();
  const faultCount = Math.round(drawBetween(random, faultsPerRound.min, faultsPerRound.max));
  let atMs = 0;
  for (let index = 0; index < faultCount; index++) {
    const kind = draw();
    const durationMs = Math.round(drawBetween(random, kind.durationMs.min, kind.durationMs.max));
    const target = shuffled(kind.targets, random).find(
      ({ resource }) => (busyUntilMs.get(resource) ?? 0) <= atMs,
    );
    if (target === undefined) continue;
    busyUntilMs.set(target.resource, atMs + durationMs + 1);
    faults.push({ kind: kind.name, target, atMs: Math.round(atMs), durationMs });
    atMs += drawBetween(random, gapMs.min, gapMs.max);
  }
  return { faults };
}
