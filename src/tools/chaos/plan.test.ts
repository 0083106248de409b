import { expect, test } from 'bun:test';
import { chaosFaultKinds } from './fault-kinds.ts';
import { type FaultRound, planFinale, planRounds } from './plan.ts';

const recurring = chaosFaultKinds.filter(({ weight }) => weight > 0);
const seeds = Array.from({ length: 50 }, (_, seed) => seed);

function planRoundsOf(seed: number, count: number): FaultRound[] {
  const planned: FaultRound[] = [];
  for (const round of planRounds(seed, chaosFaultKinds)) {
    planned.push(round);
    if (planned.length === count) break;
  }
  return planned;
}

const describeFaults = (planned: FaultRound[]) =>
  planned.flatMap(({ faults }) =>
    faults.map(({ kind, target, atMs, durationMs }) => `${kind} ${target.name} ${atMs} ${durationMs}`),
  );

test('a seed gives the same faults again, and another seed different ones', () => {
  expect(describeFaults(planRoundsOf(7, 10))).toEqual(describeFaults(planRoundsOf(7, 10)));
  expect(describeFaults(planRoundsOf(7, 10))).not.toEqual(describeFaults(planRoundsOf(8, 10)));
});

test('every kind is used within 200 faults, whatever the seed', () => {
  for (const seed of seeds) {
    const faults = planRoundsOf(seed, 40).flatMap((round) => round.faults);
    const kinds = new Set(faults.slice(0, 200).map(({ kind }) => kind));
    expect([seed, kinds.size]).toEqual([seed, recurring.length]);
  }
});

test('no resource has two faults at the same time', () => {
  for (const seed of seeds) {
    for (const { faults } of planRoundsOf(seed, 20)) {
      for (const [index, fault] of faults.entries()) {
        const overlapping = faults
          .slice(0, index)
          .filter(
            (other) =>
              other.target.resource === fault.target.resource && other.atMs + other.durationMs >= fault.atMs,
          );
        expect(overlapping).toEqual([]);
      }
    }
  }
});

test('a fault that cannot be healed is planned once, at the end, and only when it was selected', () => {
  expect(describeFaults([planFinale(chaosFaultKinds)])).toEqual(['replica-promoted replica 0 0']);
  expect(
    describeFaults(planRoundsOf(1, 100)).filter((fault) => fault.startsWith('replica-promoted')),
  ).toEqual([]);
  expect(planFinale(recurring).faults).toEqual([]);
});
