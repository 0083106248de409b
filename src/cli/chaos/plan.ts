import { createSeededRandom, type Random } from '@platform/random.ts';
import { between, shuffled } from '../city/chance.ts';
import type { FaultKind, Target } from './kinds.ts';

export interface PlannedFault {
  kind: string;
  target: Target;
  /** From the beginning of its round. */
  atMs: number;
  holdMs: number;
}

/** Faults that come close upon one another; then everything is healed. */
export interface Round {
  faults: readonly PlannedFault[];
}

const faultsPerRound = { min: 5, max: 9 };
const gapMs = { min: 200, max: 2_200 };

/**
 * Endless rounds of faults; the same seed and kinds give the same ones again. Kinds come as from a bag that
 * holds each as often as its weight says and is filled again when it is empty: every kind has its turn.
 */
export function* planRounds(seed: number, kinds: readonly FaultKind[]): Generator<Round, never> {
  const random = createSeededRandom(seed);
  let bag: FaultKind[] = [];
  const draw = (): FaultKind => {
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

/** What comes once, after all rounds; no fault where no such kind was asked for. */
export const planFinale = (kinds: readonly FaultKind[]): Round => ({
  faults: kinds
    .filter(({ weight }) => weight === 0)
    .flatMap(({ name, targets }) => targets.map((target) => ({ kind: name, target, atMs: 0, holdMs: 0 }))),
});

function planRound(random: Random, draw: () => FaultKind): Round {
  const faults: PlannedFault[] = [];
  const busyUntilMs = new Map<string, number>();
  const wanted = Math.round(between(random, faultsPerRound.min, faultsPerRound.max));
  let atMs = 0;
  for (let index = 0; index < wanted; index++) {
    const kind = draw();
    const holdMs = Math.round(between(random, kind.holdMs.min, kind.holdMs.max));
    const target = shuffled(kind.targets, random).find(
      ({ resource }) => (busyUntilMs.get(resource) ?? 0) <= atMs,
    );
    if (target === undefined) continue;
    busyUntilMs.set(target.resource, atMs + holdMs + 1);
    faults.push({ kind: kind.name, target, atMs: Math.round(atMs), holdMs });
    atMs += between(random, gapMs.min, gapMs.max);
  }
  return { faults };
}
