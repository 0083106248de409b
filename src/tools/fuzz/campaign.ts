import type { Clock } from '@platform/clock.ts';
import { createSeededRandom, type Random } from '@platform/random.ts';
import { fetchOperations } from './api-document.ts';
import type { CaseGenerator, FuzzCase, RoleTokens } from './case.ts';
import { createApiCases } from './cases.ts';
import { createMalformedCases } from './malformed.ts';
import { createSlowSenderCases, runControlClient } from './slow-senders.ts';
import { createFuzzTally, type FuzzTally, type FuzzTallyReport } from './tally.ts';
import { createRandomPicker } from './values.ts';
import { openWireConnection, sendOnNewConnection, type WireConnection, type WireExchange } from './wire.ts';

export interface FuzzCampaignOptions {
  url: string;
  tokens: RoleTokens;
  /** Number of cases; slow senders are added to it. */
  cases: number;
  slow: SlowSenderOptions;
  random: Random;
  clock: Clock;
  signal: AbortSignal;
  /** Memory of each process of the system in bytes; empty if it can not be measured. */
  memoryBytes: () => Record<string, number>;
  reportProgress(connection: string): void;
}

export interface SlowSenderOptions {
  /** Concurrent slow senders. */
  atOnce: number;
  /** How long a slow sender may hold a connection before it is closed or answered. Also applies to malformed heads. */
  heldMsMax: number;
  /** Whether the bound also applies to a partial request after a complete one; Bun's server lets that idle. */
  afterCompleteRequest: boolean;
}

export interface FuzzReport extends FuzzTallyReport {
  cases: number;
  slow: {
    senders: number;
    /** The longest time that a slow sender held a connection without a response. */
    heldMsMax: number;
    /** The longest time that a well-behaved client waited meanwhile. */
    othersWaitedMsMax: number;
  };
  /** Memory by process; without `after` if the process has ended. */
  memoryMb: Record<string, { before: number; after: number | undefined }>;
}

const lanes = 24;
const timeoutMs = 10_000;
const warmUpCases = 500;
const casesPerSlowSender = 50;
const reportIntervalMs = 5_000;
const settleMs = 3_000;
const memoryGrowthMax = 1.25;
const memorySlackMb = 48;

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
  let startedCases = 0;
  let reportedAtMs = clock.nowMs();
  let before: Record<string, number> = {};

  async function runLane(): Promise<void> {
    let connection: WireConnection | undefined;
    while (startedCases < cases && !signal.aborted) {
      startedCases++;
      if (startedCases === Math.min(warmUpCases, cases)) before = memoryBytes();
      const fuzzCase = dice.chance(0.12) ? malformed.next() : api.next();
      connection =
        fuzzCase.needsOwnConnection || connection?.isOpen() ? connection : await openWireConnection(port);
      const exchange = await sendCase(fuzzCase, connection);
      tally.record(fuzzCase, exchange);
      if (exchange.hung && !fuzzCase.needsOwnConnection) connection?.close();
      if (clock.nowMs() - reportedAtMs > reportIntervalMs) {
        reportedAtMs = clock.nowMs();
        reportProgress(
          `${startedCases} of ${cases} cases, ${tally.report().sorts.length} kinds of unexpected responses`,
        );
      }
    }
    connection?.close();
  }

  function sendCase(fuzzCase: FuzzCase, connection: WireConnection | undefined): Promise<WireExchange> {
    const isApi = fuzzCase.expects.like === 'api';
    const bound = { answersMin: 1, timeoutMs: isApi ? timeoutMs : slow.heldMsMax };
    const send = { ...fuzzCase, untilClosed: fuzzCase.needsOwnConnection, ...bound };
    return fuzzCase.needsOwnConnection || connection === undefined
      ? sendOnNewConnection(port, send, clock)
      : connection.exchange(send, clock);
  }

  const slowSenders = runSlow(
    options,
    port,
    createSlowSenderCases(tokens, slow.afterCompleteRequest, slowDice),
    tally,
  );
  await Promise.all([slowSenders, ...Array.from({ length: lanes }, runLane)]);
  await clock.sleep(settleMs);
  return {
    cases: startedCases,
    ...tally.report(),
    slow: await slowSenders,
    memoryMb: compareMemory(before, memoryBytes()),
  };
}

/** Runs slow senders in proportion to the cases, and one well-behaved client beside them. */
async function runSlow(
  { cases, slow: { atOnce, heldMsMax }, tokens, clock, signal }: FuzzCampaignOptions,
  port: number,
  maker: CaseGenerator,
  tally: FuzzTally,
): Promise<FuzzReport['slow']> {
  if (atOnce === 0) return { senders: 0, heldMsMax: 0, othersWaitedMsMax: 0 };
  const sendersWanted = Math.max(atOnce, Math.round(cases / casesPerSlowSender));
  const result = { senders: 0, heldMsMax: 0 };
  let isFinished = false;

  async function runLane(): Promise<void> {
    while (result.senders < sendersWanted && !signal.aborted) {
      result.senders++;
      const fuzzCase = maker.next();
      const served = fuzzCase.expects.like === 'slow' ? fuzzCase.expects.served : 0;
      const startedAtMs = clock.nowMs();
      const send = { ...fuzzCase, untilClosed: true, answersMin: served + 1, timeoutMs: heldMsMax };
      tally.record(fuzzCase, await sendOnNewConnection(port, send, clock));
      result.heldMsMax = Math.max(result.heldMsMax, clock.nowMs() - startedAtMs);
    }
  }

  const controlClient = runControlClient(port, tokens.rider, clock, () => isFinished);
  await Promise.all(Array.from({ length: atOnce }, runLane));
  isFinished = true;
  const { waitedMsMax, unserved } = await controlClient;
  for (const reason of unserved)
    tally.unexpected({ kind: 'starved', case: 'others', label: 'beside slow senders', reason });
  return { ...result, othersWaitedMsMax: waitedMsMax };
}

function compareMemory(
  before: Record<string, number>,
  after: Record<string, number>,
): FuzzReport['memoryMb'] {
  const megabytes = (bytes: number) => Math.round(bytes / 2 ** 20);
  return Object.fromEntries(
    Object.entries(before).map(([name, bytes]) => {
      const bytesAfter = after[name];
      return [
        name,
        { before: megabytes(bytes), after: bytesAfter === undefined ? undefined : megabytes(bytesAfter) },
      ];
    }),
  );
}

/** Whether each process released its memory: a growth of up to a quarter plus 48 MB is accepted. */
export const isMemoryReleased = ({ memoryMb }: FuzzReport): boolean =>
  Object.values(memoryMb).every(
    ({ before, after }) => after !== undefined && after <= before * memoryGrowthMax + memorySlackMb,
  );
