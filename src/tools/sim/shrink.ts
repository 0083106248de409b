import { type SeedRunOptions, simulate } from './simulate.ts';

/** Runs made to shrink one seed, at most. */
const runsMaxDefault = 60;

export interface ShrinkResult {
  /** The faults that are left: without any one of them, all is well (unless the bound on runs was met first). */
  faults: readonly string[];
  runs: number;
}

/**
 * Runs a failing seed again with fewer and fewer of its faults, as long as something is still violated:
 * first without large parts of them, then without single ones (delta debugging, Zeller 2002).
 */
export async function shrinkFaults(
  options: SeedRunOptions,
  faults: readonly string[],
  runsMax = runsMaxDefault,
): Promise<ShrinkResult> {
  let left = [...faults];
  let runs = 0;
  const fails = async (only: readonly string[]) => {
    runs++;
    return (await simulate({ ...options, only: new Set(only) })).violations.length > 0;
  };
  if (await fails([])) return { faults: [], runs };
  for (let parts = 2; left.length > 1 && runs < runsMax; ) {
    const size = Math.ceil(left.length / parts);
    const smaller = await firstFailing(left, size);
    if (smaller !== undefined) {
      left = smaller;
      parts = Math.max(parts - 1, 2);
    } else if (size === 1) break;
    else parts = Math.min(parts * 2, left.length);
  }
  return { faults: left, runs };

  /** Without one part after the other: the first way to leave one out that still fails. */
  async function firstFailing(all: readonly string[], size: number): Promise<string[] | undefined> {
    for (let start = 0; start < all.length && runs < runsMax; start += size) {
      const rest = all.filter((_, at) => at < start || at >= start + size);
      if (rest.length > 0 && (await fails(rest))) return rest;
    }
    return undefined;
  }
}
