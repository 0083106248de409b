import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import { type Case, createApiCases, type Tokens } from './cases.ts';
import { readOperations } from './document.ts';
import { type Finding, isShed, judge } from './judge.ts';
import { createMalformedCases } from './malformed.ts';
import { createDice } from './values.ts';
import { type Exchange, type Line, openLine, sendAlone } from './wire.ts';

export interface CampaignOptions {
  url: string;
  tokens: Tokens;
  cases: number;
  random: Random;
  clock: Clock;
  signal: AbortSignal;
  /** Bytes that the system's processes hold; undefined where that can't be known. */
  memoryBytes: () => number | undefined;
  say(line: string): void;
}

export interface CampaignReport {
  cases: number;
  kinds: Record<string, number>;
  statuses: Record<string, number>;
  /** Refusals by their code. */
  codes: Record<string, number>;
  /** Of all answers, 503 with Retry-After. */
  shed: number;
  serverErrors: number;
  hangs: number;
  leaks: number;
  /** The first of each sort, with how often it was found. */
  findings: (Finding & { times: number })[];
  memoryMb: { before: number; after: number } | undefined;
}

const lanes = 24;
const timeoutMs = 10_000;
const warmCases = 500;
const findingsMax = 40;
const sayEveryMs = 5_000;
const restMs = 3_000;
const slowToFreeMb = 96;

export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { url, tokens, cases, random, clock, signal, memoryBytes, say } = options;
  const port = Number(new URL(url).port);
  const dice = createDice(random);
  const operations = await readOperations(url);
  say(`${operations.length} operations`);
  const api = createApiCases(operations, tokens, dice);
  const malformed = createMalformedCases(tokens, dice);
  const tally = createTally();
  let begun = 0;
  let saidAtMs = clock.nowMs();
  let before: number | undefined;

  async function lane(): Promise<void> {
    let line: Line | undefined;
    while (begun < cases && !signal.aborted) {
      begun++;
      if (begun === Math.min(warmCases, cases)) before = memoryBytes();
      const one = dice.chance(0.12) ? malformed.next() : api.next();
      line = one.alone || line?.isOpen() ? line : await openLine(port);
      const exchange = await exchangeOf(one, line);
      tally.note(one, exchange);
      if (exchange.hung && !one.alone) line?.close();
      if (clock.nowMs() - saidAtMs > sayEveryMs) {
        saidAtMs = clock.nowMs();
        say(`${begun} of ${cases} cases, ${tally.report().findings.length} sorts of findings`);
      }
    }
    line?.close();
  }

  function exchangeOf(one: Case, line: Line | undefined): Promise<Exchange> {
    const send = { ...one, untilClosed: one.alone, timeoutMs };
    return one.alone || line === undefined ? sendAlone(port, send, clock) : line.exchange(send, clock);
  }

  await Promise.all(Array.from({ length: lanes }, lane));
  await clock.sleep(restMs);
  const after = memoryBytes();
  const megabytes = (bytes: number) => Math.round(bytes / 2 ** 20);
  const memoryMb =
    before === undefined || after === undefined
      ? undefined
      : { before: megabytes(before), after: megabytes(after) };
  return { cases: begun, ...tally.report(), memoryMb };
}

/** Whether the processes gave back what the campaign took: half as much again and a bit counts as that. */
export const memoryIsBack = ({ memoryMb }: CampaignReport): boolean =>
  memoryMb === undefined || memoryMb.after <= memoryMb.before * 1.5 + slowToFreeMb;

function createTally() {
  const kinds: Record<string, number> = {};
  const statuses: Record<string, number> = {};
  const codes: Record<string, number> = {};
  const sorts = new Map<string, Finding & { times: number }>();
  let shed = 0;
  const times = (kind: Finding['kind']) =>
    [...sorts.values()].reduce((sum, finding) => sum + (finding.kind === kind ? finding.times : 0), 0);

  return {
    note(one: Case, exchange: Exchange): void {
      kinds[one.kind] = (kinds[one.kind] ?? 0) + 1;
      for (const answer of exchange.answers) {
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
        if (isShed(answer)) shed++;
        const code = /"code":"([\w.]+)"/.exec(answer.body)?.[1];
        if (answer.status >= 400 && code !== undefined) codes[code] = (codes[code] ?? 0) + 1;
      }
      for (const finding of judge(one, exchange)) {
        const sort = `${finding.kind} ${finding.case} ${finding.reason.slice(0, 60)}`;
        const known = sorts.get(sort);
        if (known !== undefined) known.times++;
        else if (sorts.size < findingsMax) sorts.set(sort, { ...finding, times: 1 });
      }
    },
    report: () => ({
      kinds,
      statuses,
      codes,
      shed,
      serverErrors: times('server_error'),
      hangs: times('hang'),
      leaks: times('leak'),
      findings: [...sorts.values()],
    }),
  };
}
