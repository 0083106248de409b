import { systemClock } from '@platform/clock.ts';
import { createSeededRandom } from '@platform/random.ts';
import { whyNotReady } from './city/find-server.ts';
import { type CampaignReport, memoryIsBack, runCampaign } from './fuzz/campaign.ts';
import { type FuzzArguments, parseArguments, usage } from './fuzz/options.ts';
import { signIn, startTarget, type Target } from './fuzz/target.ts';
import { interruptible } from './interruptible.ts';

const readyPatienceMs = 10_000;
const say = (text: string) => void process.stderr.write(`${text}\n`);
const print = (text: string) => void process.stdout.write(`${text}\n`);

/** `bun run fuzz`. Resolves to the exit code: 0 as it should be, 1 not, 2 wrong usage or no server. */
export async function run(args: string[]): Promise<number> {
  const parsed = parseArguments(args);
  switch (parsed.kind) {
    case 'help':
      print(usage);
      return 0;
    case 'wrong':
      say(`${parsed.message}\n\n"bun run fuzz --help" tells what can be said.`);
      return 2;
    case 'run':
      return attack(parsed.arguments);
  }
}

async function attack({ url, cases, seed, json }: FuzzArguments): Promise<number> {
  const interruption = interruptible();
  const { signal } = interruption;
  let target: Target | undefined;
  try {
    if (url !== undefined) {
      const problem = await whyNotReady(url, systemClock, readyPatienceMs);
      if (problem !== undefined) {
        say(problem);
        return 2;
      }
    }
    target = url === undefined ? await startTarget(say, signal) : named(url);
    say(`${cases} cases against ${target.url}, seed ${seed}`);
    const report = await runCampaign({
      url: target.url,
      tokens: await signIn(target),
      cases,
      random: createSeededRandom(seed),
      clock: systemClock,
      signal,
      memoryBytes: target.memoryBytes,
      say,
    });
    return tell(report, seed, json);
  } finally {
    await target?.stop();
    interruption.end();
  }
}

function named(url: string): Target {
  const { OPS_EMAIL: email, OPS_PASSWORD: password } = process.env;
  return {
    url: url.replace(/\/+$/, ''),
    operator: email === undefined || password === undefined ? undefined : { email, password },
    memoryBytes: () => undefined,
    stop: async () => undefined,
  };
}

function tell(report: CampaignReport, seed: number, json: boolean): number {
  const { cases, statuses, shed, findings, memoryMb } = report;
  const isWell = findings.length === 0 && memoryIsBack(report);
  for (const { kind, case: what, label, reason, times } of findings)
    say(`${kind} (${times} times), ${what}: ${label}\n  ${reason}`);
  const memory =
    memoryMb === undefined ? '' : `, memory ${memoryMb.before} MB before and ${memoryMb.after} MB after`;
  say(`${cases} cases, ${shed} shed, ${findings.length} sorts of findings${memory}; answers by status:`);
  say(
    Object.entries(statuses)
      .map(([status, times]) => `  ${status}: ${times}`)
      .join('\n'),
  );
  if (json) print(JSON.stringify({ seed, ...report }));
  return isWell ? 0 : 1;
}
