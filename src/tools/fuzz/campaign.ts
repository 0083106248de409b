import type { Clock } from '@platform/clock.ts';
import { createSeededRandom, type Random } from '@platform/random.ts';
import { fetchOperations } from './api-document.ts';
import { type CaseGenerator, createApiCases, type FuzzCase, type RoleTokens } from './cases.ts';
import { createMalformedCases } from './malformed.ts';
import { createSlowSenderCases, runControlClient } from './slow-senders.ts';
import { createFuzzTally, type FuzzTally, type FuzzTallyReport } from './tally.ts';
import { createRandomPicker } from './values.ts';
import { openWireConnection, sendOnNewConnection, type WireConnection, type WireExchange } from './wire.ts';

export interface FuzzCampaignOptions {
  url: string;
  tokens: RoleTokens;
  /** Those that are slow come on top. */
  cases: number;
  slow: SlowSenderOptions;
  random: Random;
  clock: Clock;
  signal: AbortSignal;
  /** Bytes that each of the system's processes holds; none where that can't be known. */
  memoryBytes: () => Record<string, number>;
  reportProgress(line: string): void;
}

export interface SlowSenderOptions {
  /** Slow senders at the same time, beside all others. */
  atOnce: number;
  /** How long one may take before it is ended or answered; so may who sends half a head and calls it one. */
  heldMsMax: number;
  /** Whether that holds for half a request behind a whole one too; Bun's server lets it idle. */
  afterCompleteRequest: boolean;
}

export interface FuzzReport extends FuzzTallyReport {
  cases: number;
  slow: {
    senders: number;
    /** The longest that one of them kept a connection without an answer. */
    heldMsMax: number;
    /** The longest that a sender who does nothing wrong waited meanwhile. */
    othersWaitedMsMax: number;
  };
  /** By process; one without an end has ended itself. */
  memoryMb: Record<string, { before: number; after: number | undefined }>;
}

const lanes = 24;
const timeoutMs = 10_000;
const warmCases = 500;
const casesPerSlowSender = 50;
const sayEveryMs = 5_000;
const restMs = 3_000;
const memoryGrowthMax = 1.25;
const slowToFreeMb = 48;

export async function runFuzzCampaign(options: FuzzCampaignOptions): Promise<FuzzReport> {
  const { url, tokens, cases, slow, random, clock, signal, memoryBytes, reportProgress } = options;
  const port = Number(new URL(url).port);
  const slowDice = createRandomPicker(createSeededRandom(Math.floor(random.next() * 2 ** 32)));
  const dice = createRandomPicker(random);
  const operations = await fetchOperations(url);
  reportProgress(`${operations.length} operations`);
  const api = createApiCases(operations, tokens, dice);
  const malformed = createMalformedCases(tokens, dice);
  const tally = createFuzzTally();
  let begun = 0;
  let saidAtMs = clock.nowMs();
  let before: Record<string, number> = {};

  async function lane(): Promise<void> {
    let line: WireConnection | undefined;
    while (begun < cases && !signal.aborted) {
      begun++;
      if (begun === Math.min(warmCases, cases)) before = memoryBytes();
      const one = dice.chance(0.12) ? malformed.next() : api.next();
      line = one.needsOwnConnection || line?.isOpen() ? line : await openWireConnection(port);
      const exchange = await exchangeOf(one, line);
      tally.note(one, exchange);
      if (exchange.hung && !one.needsOwnConnection) line?.close();
      if (clock.nowMs() - saidAtMs > sayEveryMs) {
        saidAtMs = clock.nowMs();
        reportProgress(
          `${begun} of ${cases} cases, ${tally.report().sorts.length} sorts of unexpected answers`,
        );
      }
    }
    line?.close();
  }

  function exchangeOf(one: FuzzCase, line: WireConnection | undefined): Promise<WireExchange> {
    const isApi = one.expects.like === 'api';
    const bound = { answersMin: 1, timeoutMs: isApi ? timeoutMs : slow.heldMsMax };
    const send = { ...one, untilClosed: one.needsOwnConnection, ...bound };
    return one.needsOwnConnection || line === undefined
      ? sendOnNewConnection(port, send, clock)
      : line.exchange(send, clock);
  }

  const slowly = runSlow(
    options,
    port,
    createSlowSenderCases(tokens, slow.afterCompleteRequest, slowDice),
    tally,
  );
  await Promise.all([slowly, ...Array.from({ length: lanes }, lane)]);
  await clock.sleep(restMs);
  return { cases: begun, ...tally.report(), slow: await slowly, memoryMb: compare(before, memoryBytes()) };
}

/** As many slow senders at once as asked for, one in so many cases, and somebody who is not slow. */
async function runSlow(
  { cases, slow: { atOnce, heldMsMax }, tokens, clock, signal }: FuzzCampaignOptions,
  port: number,
  maker: CaseGenerator,
  tally: FuzzTally,
): Promise<FuzzReport['slow']> {
  if (atOnce === 0) return { senders: 0, heldMsMax: 0, othersWaitedMsMax: 0 };
  const wanted = Math.max(atOnce, Math.round(cases / casesPerSlowSender));
  const seen = { senders: 0, heldMsMax: 0 };
  let isOver = false;

  async function lane(): Promise<void> {
    while (seen.senders < wanted && !signal.aborted) {
      seen.senders++;
      const one = maker.next();
      const served = one.expects.like === 'slow' ? one.expects.served : 0;
      const beganMs = clock.nowMs();
      const send = { ...one, untilClosed: true, answersMin: served + 1, timeoutMs: heldMsMax };
      tally.note(one, await sendOnNewConnection(port, send, clock));
      seen.heldMsMax = Math.max(seen.heldMsMax, clock.nowMs() - beganMs);
    }
  }

  const watching = runControlClient(port, tokens.rider, clock, () => isOver);
  await Promise.all(Array.from({ length: atOnce }, lane));
  isOver = true;
  const { waitedMsMax, unserved } = await watching;
  for (const reason of unserved)
    tally.unexpected({ kind: 'starved', case: 'others', label: 'beside slow senders', reason });
  return { ...seen, othersWaitedMsMax: waitedMsMax };
}

function compare(before: Record<string, number>, after: Record<string, number>): FuzzReport['memoryMb'] {
  const megabytes = (bytes: number) => Math.round(bytes / 2 ** 20);
  return Object.fromEntries(
    Object.entries(before).map(([name, bytes]) => {
      const left = after[name];
      return [name, { before: megabytes(bytes), after: left === undefined ? undefined : megabytes(left) }];
    }),
  );
}

/** Whether each process gave back what the campaign took: a quarter more and a bit counts as that. */
export const isMemoryReleased = ({ memoryMb }: FuzzReport): boolean =>
  Object.values(memoryMb).every(
    ({ before, after }) => after !== undefined && after <= before * memoryGrowthMax + slowToFreeMb,
  );
