import type { Databases } from './instances.ts';
import type { PlantedBug } from './planted-bugs.ts';
import { type ShrinkResult, shrinkFaults } from './shrink.ts';
import { type SeedRun, simulate } from './simulate.ts';

export interface SimCampaignOptions {
  /** Databases of their own for each seed that runs at the same time. */
  lanes: readonly Databases[];
  firstSeed: number;
  seeds: number;
  planted?: PlantedBug | undefined;
  /** Ends after the first seed that fails. */
  stopsAtFirstFailure?: boolean;
  /** Looks for the fewest faults with which a failing seed still fails. */
  shrinks?: boolean;
  /** Asked before each seed; true ends the campaign. */
  isOver?: () => boolean;
  onRun?: (run: SeedRun) => void;
}

export interface FailedSeed {
  seed: number;
  violations: string[];
  traceHash: string;
  /** With these faults alone it still fails. */
  shrunk?: ShrinkResult;
}

export interface SimCampaignResult {
  seeds: number;
  failures: FailedSeed[];
  /** How often each kind struck. */
  faults: Record<string, number>;
  trips: number;
  steps: number;
}

/**
 * Seed after seed, each on empty tables; as many at a time as there are lanes. What runs side by side
 * shares nothing but the process, so a seed is the same in every lane.
 */
export async function runSimCampaign(options: SimCampaignOptions): Promise<SimCampaignResult> {
  const { lanes, firstSeed, planted, isOver = () => false } = options;
  const campaign: SimCampaignResult = { seeds: 0, failures: [], faults: {}, trips: 0, steps: 0 };
  let next = firstSeed;
  const mayBegin = () =>
    next < firstSeed + options.seeds && !isOver() && !(options.stopsAtFirstFailure && failed());
  const failed = () => campaign.failures.length > 0;

  async function runLane(databases: Databases): Promise<void> {
    while (mayBegin()) {
      const seed = next++;
      const run = await simulate({ seed, databases, planted });
      add(run);
      if (run.violations.length === 0) continue;
      const { violations, traceHash, faults } = run;
      const ids = faults.map(({ id }) => id);
      const failure: FailedSeed = { seed, violations, traceHash };
      campaign.failures.push(failure);
      if (options.shrinks) failure.shrunk = await shrinkFaults({ seed, databases, planted }, ids);
    }
  }

  function add(run: SeedRun): void {
    campaign.seeds++;
    campaign.trips += run.trips;
    campaign.steps += run.steps;
    for (const { kind } of run.faults) campaign.faults[kind] = (campaign.faults[kind] ?? 0) + 1;
    options.onRun?.(run);
  }

  await Promise.all(lanes.map(runLane));
  campaign.failures.sort((a, b) => a.seed - b.seed);
  return campaign;
}
