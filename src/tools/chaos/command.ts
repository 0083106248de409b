import { describeBrokerOutage, runBrokerOutage } from './broker-outage.ts';
import { runChaosCampaign } from './campaign.ts';
import type { ChaosArguments } from './options.ts';
import { describeCampaign } from './summary.ts';

const minuteMs = 60_000;
const printError = (text: string) => void process.stderr.write(`${text}\n`);

/** Runs the campaign or the scenario. Resolves to the exit code: 0 no violations, 1 violations. */
export async function runChaosCommand(args: ChaosArguments, signal: AbortSignal): Promise<number> {
  const common = { signal, report: printError };
  if (args.kind === 'broker-away') {
    const summary = await runBrokerOutage({ ...args, outageMs: args.seconds * 1_000, ...common });
    printSummary(summary, describeBrokerOutage(summary), args.json);
    return summary.violations.length === 0 ? 0 : 1;
  }
  const { minutes, recoverySecondsMax, ...options } = args;
  const summary = await runChaosCampaign({
    ...options,
    durationMs: minutes * minuteMs,
    recoveryMsMax: recoverySecondsMax * 1_000,
    ...common,
  });
  printSummary(summary, describeCampaign(summary), args.json);
  return summary.violations.length === 0 ? 0 : 1;
}

function printSummary(summary: object, description: string, json: boolean): void {
  if (json) printError(description);
  process.stdout.write(`${json ? JSON.stringify(summary) : description}\n`);
}
