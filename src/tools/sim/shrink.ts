import { type SeedRunOptions, simulate } from './simulate.ts';

/** The most runs for shrinking one seed. */
const runsMaxDefault = 60;

export interface ShrinkResult {
  /** The remaining faults: without any one of them the seed passes (unless the limit of runs was reached). */
  faults: readonly string[];
  runs: number;
}

/**
 * Runs a failing seed again with fewer and fewer of its faults, as long as it still fails: first without
 * large parts of them, then without single ones (delta debugging, Zeller 2002).
 */
export async function shrinkFaults(
  options: SeedRunOptions,
  faults: readonly string[],
  runsMax = runsMaxDefault,
): Promise<ShrinkResult> {
  let remaining = [...faults];
  let runs = 0;
  const fails = async (only: readonly string[]) => {
    runs++;
    return (await simulate({ ...options, only: new Set(only) })).violations.length > 0;
  };
  if (await fails([])) return { faults: [], runs };
  for (let parts = 2; remaining.length > 1 && runs < runsMax; ) {
    const size = Math.ceil(remaining.length / parts);
    const smaller = await firstFailing(remaining, size);
    if (smaller !== undefined) {
      remaining = smaller;
      parts = Math.max(parts - 1, 2);
    } else if (size === 1) break;
    else parts = Math.min(parts * 2, remaining.length);
  }
  return { faults: remaining, runs };

  /** Leaves out one part after another; returns the first remainder that still fails. */
  async function firstFailing(all: readonly string[], size: number): Promise<string[] | undefined> {
    for (let start = 0; start < all.length && runs < runsMax; start += size) {
      const remainder = all.filter((_, index) => index < start || index >= start + size);
      if (remainder.length > 0 && (await fails(remainder))) return remainder;
    }
    return undefined;
  }
}
