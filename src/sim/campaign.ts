import type { Databases } from './instances.ts';
import type { PlantedBug } from './planted.ts';
import { type Shrunk, shrink } from './shrink.ts';
import { type Run, simulate } from './simulate.ts';

export interface CampaignOptions {
  databases: Databases;
  firstSeed: number;
  seeds: number;
  planted?: PlantedBug | undefined;
  /** Ends after the first seed that fails. */
  untilFailure?: boolean;
  /** Looks for the fewest faults with which a failing seed still fails. */
  shrinks?: boolean;
  /** Asked before each seed; true ends the campaign. */
  isOver?: () => boolean;
  onRun?: (run: Run) => void;
}

export interface Failure {
  seed: number;
  violations: string[];
  traceHash: string;
  /** With these faults alone it still fails. */
  shrunk?: Shrunk;
}

export interface Campaign {
  seeds: number;
  failures: Failure[];
  /** How often each kind struck. */
  faults: Record<string, number>;
  trips: number;
  steps: number;
}

/** Seed after seed, each on empty tables. */
export async function runCampaign(options: CampaignOptions): Promise<Campaign> {
  const { databases, firstSeed, planted, isOver = () => false } = options;
  const campaign: Campaign = { seeds: 0, failures: [], faults: {}, trips: 0, steps: 0 };
  for (let seed = firstSeed; seed < firstSeed + options.seeds && !isOver(); seed++) {
    const run = await simulate({ seed, databases, planted });
    campaign.seeds++;
    campaign.trips += run.trips;
    campaign.steps += run.steps;
    for (const { kind } of run.faults) campaign.faults[kind] = (campaign.faults[kind] ?? 0) + 1;
    options.onRun?.(run);
    if (run.violations.length === 0) continue;
    const { violations, traceHash, faults } = run;
    const ids = faults.map(({ id }) => id);
    const shrunk = options.shrinks ? await shrink({ seed, databases, planted }, ids) : undefined;
    campaign.failures.push({ seed, violations, traceHash, ...(shrunk === undefined ? {} : { shrunk }) });
    if (options.untilFailure) break;
  }
  return campaign;
}
