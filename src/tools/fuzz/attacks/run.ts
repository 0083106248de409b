import type { Clock } from '@platform/clock.ts';
import type { RoleTokens } from '../cases.ts';
import { registerBystanders } from './accounts.ts';
import { type AttackerReport, findAttackerAddress } from './attacker.ts';
import { type BystanderStats, startBystanders } from './bystanders.ts';
import { type AttackKind, createAttackKinds } from './kinds.ts';
import { startAttackers } from './thread.ts';

export interface AttackOptions {
  url: string;
  /** The attackers' own. */
  tokens: RoleTokens;
  /** How long each kind is attacked with; the quiet before it is half as long. */
  attackMs: number;
  /** More than the edge takes from one address, and in all. */
  idleConnections: number;
  /** Only the kinds with one of these words in their name; all, if empty. */
  only?: readonly string[];
  clock: Clock;
  signal: AbortSignal;
  reportProgress(line: string): void;
}

/** What a bystander saw in the quiet before, and beside the attack. */
export interface BystanderComparison {
  quiet: BystanderStats;
  attacked: BystanderStats;
  /** More than this at the 95th percentile is the attack's doing. */
  boundMs: number;
}

export interface AttackResult {
  kind: string;
  attacker: AttackerReport;
  bystanders: Record<string, BystanderComparison>;
  /** What bystanders had to bear; empty when all is well. */
  harm: string[];
  /** How often it was run: what was late only is looked at again, since machines are late by themselves. */
  runs: number;
}

export interface AttacksReport {
  /** Whether the attackers had an address of their own. */
  ownAddress: boolean;
  skipped: string[];
  attacks: AttackResult[];
}

const slowdownMax = 3;
// On a quiet machine an answer takes 2 ms; three times that is no harm that anybody could feel, and attackers,
// bystanders and the system share the same few cores.
const boundMsMin = 100;
const runsMax = 3;
const restMs = 300;

/** Attacks of every kind, one after the other, with well-behaved clients beside them who must not feel it. */
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
      const result = await attackUntilClear(kind);
      report.attacks.push(result);
      reportProgress(describeAttack(result));
    }
  } finally {
    bystanders.stop();
    attackers.stop();
  }
  return report;

  async function attackOnce(kind: AttackKind): Promise<Omit<AttackResult, 'runs'>> {
    await clock.sleep(restMs);
    const quiet = await bystanders.measure(options.attackMs / 2);
    attackers.begin({ kind: kind.name, port, from, tokens, idleConnections: options.idleConnections });
    const attacked = await bystanders.measure(options.attackMs);
    const attacker = await attackers.end();
    const seen = Object.entries(attacked).map(([name, during]): [string, BystanderComparison] => {
      const before = quiet[name] ?? during;
      return [name, { quiet: before, attacked: during, boundMs: p95BoundMs(before) }];
    });
    return {
      kind: kind.name,
      attacker,
      bystanders: Object.fromEntries(seen),
      harm: seen.flatMap(([name, beside]) => describeHarm(name, beside)),
    };
  }

  async function attackUntilClear(kind: AttackKind): Promise<AttackResult> {
    for (let runs = 1; ; runs++) {
      const result = { ...(await attackOnce(kind)), runs };
      const isLateOnly = Object.values(result.bystanders).every(({ attacked }) => attacked.errorCount === 0);
      if (result.harm.length === 0 || !isLateOnly || runs === runsMax || signal.aborted) return result;
      reportProgress(`${kind.name}: ${result.harm.join('; ')}; once more`);
    }
  }
}

/** What the 95th percentile may be beside an attack. */
export const p95BoundMs = (quiet: BystanderStats): number =>
  Math.round(Math.max(boundMsMin, quiet.p95Ms * slowdownMax));

/** What a bystander had to bear, in words. */
export function describeHarm(name: string, { quiet, attacked, boundMs }: BystanderComparison): string[] {
  const harm: string[] = [];
  if (quiet.errorCount > 0)
    harm.push(`${name}: ${quiet.errorCount} errors before the attack: ${quiet.errors[0]}`);
  if (attacked.errorCount > 0)
    harm.push(`${name}: ${attacked.errorCount} of ${attacked.count} failed: ${attacked.errors[0]}`);
  if (attacked.p95Ms > boundMs)
    harm.push(`${name}: p95 ${attacked.p95Ms} ms, ${quiet.p95Ms} ms in the quiet, at most ${boundMs} ms`);
  return harm;
}

/** Whether no bystander was harmed by any attack. */
export const isHarmless = ({ attacks }: AttacksReport): boolean =>
  attacks.every(({ harm }) => harm.length === 0);

/** One line for people. */
export function describeAttack({ kind, attacker, bystanders, harm, runs }: AttackResult): string {
  const seen = Object.entries(bystanders)
    .map(([name, { quiet, attacked }]) => `${name} ${quiet.p95Ms} → ${attacked.p95Ms}`)
    .join(', ');
  const answers = Object.entries(attacker.answers)
    .map(([status, times]) => `${status} × ${times}`)
    .join(', ');
  const verdict = harm.length === 0 ? 'no harm' : harm.join('; ');
  return `${kind}: ${attacker.connections} connections, ${attacker.openMax} at once (${answers}); p95 ms: ${seen}; ${verdict}${runs > 1 ? `, after ${runs} runs` : ''}`;
}
