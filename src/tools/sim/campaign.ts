import type { Databases } from './instances.ts';
import type { PlantedBug } from './planted-bugs.ts';
import { type ShrinkResult, shrinkFaults } from './shrink.ts';
import { type SeedRun, simulate } from './simulate.ts';

export interface SimCampaignOptions {
  /** The databases of each lane; as many seeds run at the same time as there are lanes. */
  lanes: readonly Databases[];
  firstSeed: number;
  seeds: number;
  planted?: PlantedBug | undefined;
  /** Ends the campaign after the first seed that fails. */
  stopsAtFirstFailure?: boolean;
  /** Searches for the fewest faults with which a failing seed still fails. */
  shrinks?: boolean;
  /** Called before each seed; true ends the campaign. */
  isOver?: () => boolean;
  onRun?: (run: SeedRun) => void;
}

export interface FailedSeed {
  seed: number;
  violations: string[];
  traceHash: string;
  /** The seed still fails with only these faults. */
  shrunk?: ShrinkResult;
}

export interface SimCampaignResult {
  seeds: number;
  failures: FailedSeed[];
  /** How often each kind of fault was injected. */
  faults: Record<string, number>;
  trips: number;
  steps: number;
}

/**
 * Runs many seeds, each on empty tables. Seeds that run at the same time share nothing but the process, so
 * a seed gives the same run in every lane.
 */
export async function runSimCampaign(options: SimCampaignOptions): Promise<SimCampaignResult> {
  const { lanes, firstSeed, planted, isOver = () => false } = options;
  const campaign: SimCampaignResult = { seeds: 0, failures: [], faults: {}, trips: 0, steps: 0 };
  let next = firstSeed;
  const mayStart = () =>
    next < firstSeed + options.seeds && !isOver() && !(options.stopsAtFirstFailure && hasFailure());
  const hasFailure = () => campaign.failures.length > 0;

  async function runLane(databases: Databases): Promise<void> {
    while (mayStart()) {
      const seed = next++;
      const run = await simulate({ seed, databases, planted });
      addRun(run);
      if (run.violations.length === 0) continue;
      const { violations, traceHash, faults } = run;
      const ids = faults.map(({ id }) => id);
      const failure: FailedSeed = { seed, violations, traceHash };
      campaign.failures.push(failure);
      if (options.shrinks) failure.shrunk = await shrinkFaults({ seed, databases, planted }, ids);
    }
  }

  function addRun(run: SeedRun): void {
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
