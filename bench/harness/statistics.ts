/** The median; for an even number of values, the mean of the middle two. NaN without values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[sorted.length / 2 - 1] ?? Number.NaN) + upper) / 2;
}

/** The percentile by nearest rank: the smallest value that at least `percent` of them do not exceed. NaN without values. */
export function percentile(values: readonly number[], percent: number): number {
  return ofSorted(
    values.toSorted((a, b) => a - b),
    percent,
  );
}

export interface Percentiles {
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
}

export function percentilesOf(latenciesMs: readonly number[]): Percentiles {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  return { p50Ms: ofSorted(sorted, 50), p95Ms: ofSorted(sorted, 95), p99Ms: ofSorted(sorted, 99) };
}

function ofSorted(sorted: readonly number[], percent: number): number {
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

export type Side = 'ours' | 'baseline';

/**
 * The order of the runs: each round has each side once, in alternating order (AB BA AB …), so that a machine that
 * becomes slower or faster meanwhile favours neither side.
 */
export function alternateSides(rounds: number): [first: Side, second: Side][] {
  return Array.from({ length: rounds }, (_, round) =>
    round % 2 === 0 ? ['ours', 'baseline'] : ['baseline', 'ours'],
  );
}

/** Rounds to four significant digits. */
export const roundToFourDigits = (value: number): number =>
  Number.isFinite(value) ? Number(value.toPrecision(4)) : value;
