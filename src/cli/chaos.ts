import { describeBrokerOutage, runBrokerOutage } from '../tools/chaos/broker-outage.ts';
import { runChaosCampaign } from '../tools/chaos/campaign.ts';
import { type ChaosArguments, parseArguments, usage } from '../tools/chaos/options.ts';
import { describeCampaign } from '../tools/chaos/summary.ts';
import { handleInterrupts } from '../tools/command/interruption.ts';
import { runCommand } from '../tools/command/options.ts';

const minuteMs = 60_000;
const say = (text: string) => void process.stderr.write(`${text}\n`);

/** `bun run chaos`. Resolves to the exit code: 0 nothing was violated, 1 something was, 2 wrong usage. */
export const run = (args: string[]): Promise<number> =>
  runCommand('chaos', usage, parseArguments(args), drive);

async function drive(asked: ChaosArguments): Promise<number> {
  const interruption = handleInterrupts();
  const common = { signal: interruption.signal, report: say };
  try {
    if (asked.kind === 'broker-away') {
      const summary = await runBrokerOutage({ ...asked, outageMs: asked.seconds * 1_000, ...common });
      tell(summary, describeBrokerOutage(summary), asked.json);
      return summary.violations.length === 0 ? 0 : 1;
    }
    const { minutes, recoverySecondsMax, ...rest } = asked;
    const summary = await runChaosCampaign({
      ...rest,
      durationMs: minutes * minuteMs,
      recoveryMsMax: recoverySecondsMax * 1_000,
      ...common,
    });
    tell(summary, describeCampaign(summary), asked.json);
    return summary.violations.length === 0 ? 0 : 1;
  } finally {
    interruption.restore();
  }
}

function tell(summary: object, description: string, json: boolean): void {
  if (json) say(description);
  process.stdout.write(`${json ? JSON.stringify(summary) : description}\n`);
}
