import type { Clock } from '@platform/clock.ts';
import type { RoleTokens } from '../case.ts';
import { registerBystanders } from './accounts.ts';
import { type AttackerReport, findAttackerAddress } from './attacker.ts';
import { type BystanderStats, startBystanders } from './bystanders.ts';
import { type AttackKind, createAttackKinds } from './kinds.ts';
import { startAttackers } from './thread.ts';

export interface AttackOptions {
  url: string;
  /** Access tokens of the attackers. */
  tokens: RoleTokens;
  /** Duration of each attack; the quiet period before it is half as long. */
  attackMs: number;
  /** More connections than the edge accepts from one address and in total. */
  idleConnections: number;
  /** Only kinds whose name contains one of these words; all kinds if empty. */
  only?: readonly string[];
  clock: Clock;
  signal: AbortSignal;
  reportProgress(line: string): void;
}

/** Measurements of one bystander before and during the attack. */
export interface BystanderComparison {
  quiet: BystanderStats;
  attacked: BystanderStats;
  /** A 95th percentile above this counts as harm. */
  boundMs: number;
}

export interface AttackResult {
  kind: string;
  attacker: AttackerReport;
  bystanders: Record<string, BystanderComparison>;
  /** Descriptions of harm to bystanders; empty if there was none. */
  harm: string[];
  /** The number of runs: an attack that only caused latency is repeated, since machines are sometimes slow by themselves. */
  runs: number;
}

export interface AttacksReport {
  /** Whether the attackers had their own address. */
  ownAddress: boolean;
  skipped: string[];
  attacks: AttackResult[];
}

const slowdownMax = 3;
// On a quiet machine a response takes 2 ms. Three times that is no noticeable harm, and attackers, bystanders and the
// system share the same few cores.
const boundMsMin = 100;
const runsMax = 3;
const settleMs = 300;

/** Runs every kind of attack, one after the other, and measures well-behaved clients that must not be affected. */
export async function runAttacks(options: AttackOptions): Promise<AttacksReport> {
  const { url, tokens, clock, signal, reportProgress, only = [] } = options;
  const port = Number(new URL(url).port);
  const from = await findAttackerAddress(port);
  const attackers = startAttackers();
  const bystanders = await startBystanders(url, await registerBystanders(url), clock);
  const kinds = createAttackKinds(tokens, options.idleConnections, clock.nowMs).filter(
    ({ name }) => only.length === 0 || only.some((word) => name.includes(word)),
  );
  const report: AttacksReport = { ownAddress: from !== undefined, skipped: [], attacks: [] };
  try {
    for (const kind of kinds) {
      if (signal.aborted) break;
      if (kind.exhaustsAddress && from === undefined) {
        report.skipped.push(kind.name);
        continue;
      }
      const result = await attackWithRetries(kind);
      report.attacks.push(result);
      reportProgress(describeAttack(result));
    }
  } finally {
    bystanders.stop();
    attackers.stop();
  }
  return report;

  async function attackOnce(kind: AttackKind): Promise<Omit<AttackResult, 'runs'>> {
    await clock.sleep(settleMs);
    const quiet = await bystanders.measure(options.attackMs / 2);
    attackers.begin({ kind: kind.name, port, from, tokens, idleConnections: options.idleConnections });
    const attacked = await bystanders.measure(options.attackMs);
    const attacker = await attackers.end();
    const comparisons = Object.entries(attacked).map(([name, during]): [string, BystanderComparison] => {
      const before = quiet[name] ?? during;
      return [name, { quiet: before, attacked: during, boundMs: p95BoundMs(before) }];
    });
    return {
      kind: kind.name,
      attacker,
      bystanders: Object.fromEntries(comparisons),
      harm: comparisons.flatMap(([name, beside]) => describeHarm(name, beside)),
    };
  }

  async function attackWithRetries(kind: AttackKind): Promise<AttackResult> {
    for (let runs = 1; ; runs++) {
      const result = { ...(await attackOnce(kind)), runs };
      const hasOnlyLatencyHarm = Object.values(result.bystanders).every(
        ({ attacked }) => attacked.errorCount === 0,
      );
      if (result.harm.length === 0 || !hasOnlyLatencyHarm || runs === runsMax || signal.aborted)
        return result;
      reportProgress(`${kind.name}: ${result.harm.join('; ')}; running it again`);
    }
  }
}

/** The 95th percentile that is acceptable during an attack. */
export const p95BoundMs = (quiet: BystanderStats): number =>
  Math.round(Math.max(boundMsMin, quiet.p95Ms * slowdownMax));

/** Describes the harm to a bystander. */
export function describeHarm(name: string, { quiet, attacked, boundMs }: BystanderComparison): string[] {
  const harm: string[] = [];
  if (quiet.errorCount > 0)
    harm.push(`${name}: ${quiet.errorCount} errors before the attack: ${quiet.errors[0]}`);
  if (attacked.errorCount > 0)
    harm.push(`${name}: ${attacked.errorCount} of ${attacked.count} failed: ${attacked.errors[0]}`);
  if (attacked.p95Ms > boundMs)
    harm.push(`${name}: p95 ${attacked.p95Ms} ms, ${quiet.p95Ms} ms without the attack, bound ${boundMs} ms`);
  return harm;
}

/** Whether no attack harmed a bystander. */
export const isHarmless = ({ attacks }: AttacksReport): boolean =>
  attacks.every(({ harm }) => harm.length === 0);

/** A one-line summary of an attack. */
export function describeAttack({ kind, attacker, bystanders, harm, runs }: AttackResult): string {
  const comparisons = Object.entries(bystanders)
    .map(([name, { quiet, attacked }]) => `${name} ${quiet.p95Ms} → ${attacked.p95Ms}`)
    .join(', ');
  const answers = Object.entries(attacker.answers)
    .map(([status, count]) => `${status} × ${count}`)
    .join(', ');
  const verdict = harm.length === 0 ? 'no harm' : harm.join('; ');
  return `${kind}: ${attacker.connections} connections, ${attacker.openMax} at once (${answers}); p95 ms: ${comparisons}; ${verdict}${runs > 1 ? `, after ${runs} runs` : ''}`;
}
