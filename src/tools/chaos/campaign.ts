import { systemClock } from '@platform/clock.ts';
import { type City, createCity } from '../city/index.ts';
import type { CitySummary } from '../city/summary.ts';
import { checkFinalInvariants, checkRunningInvariants } from './audit.ts';
import { type ClientHistory, countAcknowledged, createClientHistory } from './client-history.ts';
import { startEventRecorder } from './event-recorder.ts';
import type { ChaosFaultKind } from './fault.ts';
import { type FaultRound, type PlannedFault, planFinale, planRounds } from './plan.ts';
import { describeSlowness, latencyP95Ms, recoveredAtMs, startTripProbe, type TripProbe } from './probe.ts';
import { startTestBed, type TestBed } from './test-bed.ts';

export interface ChaosCampaignOptions {
  seed: number;
  kinds: readonly ChaosFaultKind[];
  /** The campaign ends after the round that reaches this many faults, or after `durationMs`. */
  faults: number;
  durationMs: number;
  drivers: number;
  /** Overrides settings of the services. */
  env?: Readonly<Record<string, string>>;
  /** How long normal latency is measured before the first fault. */
  baselineMs?: number;
  /** A longer recovery to normal latency counts as a violation. */
  recoveryMsMax: number;
  signal: AbortSignal;
  report: (line: string) => void;
}

export interface ChaosCampaignSummary {
  seed: number;
  faults: number;
  kinds: Record<string, number>;
  rounds: number;
  violations: string[];
  /** From the end of all faults until trips are created as fast as before. */
  recoveryMsMax: number;
  recoveryMsP50: number;
  /** The p95 of a quote and a trip before the first fault, and what counted as normal afterwards. */
  baselineP95Ms: number;
  normalP95Ms: number;
  acknowledged: ReturnType<typeof countAcknowledged>;
  /** Events recorded at the broker, including duplicates. */
  events: number;
  city: Pick<CitySummary, 'requested' | 'completed' | 'captured' | 'cancelled' | 'unfulfilled' | 'retried'>;
  /** Errors that reached the people of the city in spite of their retries, by code. */
  surfaced: Record<string, number>;
  durationSeconds: number;
}

const timeScale = 60;
const settings = {
  // Several leases follow from this setting: shorter ones expire more often.
  PROVIDER_TIMEOUT_MS: '1000',
  // A short search timeout, so that the campaign does not wait long for trips that find no driver.
  SEARCH_TIMEOUT_SECONDS: '20',
  LIMIT_REALTIME_PER_MINUTE: '60000',
};
const baselineMsDefault = 6_000;
const normalP95MsMin = 250;
const recoveryTimeoutMs = 60_000;
const pollMs = 100;
const tripsTimeoutMs = 240_000;

/** Injects faults into the whole system while a simulated city uses it. Rejects when the system does not start. */
export async function runChaosCampaign(options: ChaosCampaignOptions): Promise<ChaosCampaignSummary> {
  const startedMs = systemClock.nowMs();
  const testBed = await startTestBed({
    env: { ...settings, ...options.env },
    signal: options.signal,
    report: options.report,
  });
  const history = createClientHistory();
  const stopping = new AbortController();
  try {
    const recorder = await startEventRecorder(testBed.server('rabbitmq').url);
    const city = startCity(testBed, options, history);
    const cityRun = city.run(stopping.signal);
    // Handled where it is awaited; a city that fails earlier must not crash the process.
    cityRun.catch(() => undefined);
    const probe = await startTripProbe(testBed.url, history.callObserver);
    const progress = await runRounds(testBed, city, probe, options);
    await probe.stop();
    city.stop();
    const summary = await waitForTripsToEnd(cityRun, stopping);
    const { violations, events } = await checkFinalInvariants(testBed, history, recorder);
    const { errors, violations: cityViolations, ...cityCounts } = summary;
    const { requested, completed, captured, cancelled, unfulfilled, retried } = cityCounts;
    return {
      seed: options.seed,
      ...summarizeProgress(progress),
      violations: [
        ...progress.violations,
        ...cityViolations.map(
          ({ rule, tripId, detail }) => `city: ${rule} of trip ${tripId ?? '–'}: ${detail}`,
        ),
        ...violations,
      ],
      acknowledged: countAcknowledged(history.acknowledged),
      events,
      city: { requested, completed, captured, cancelled, unfulfilled, retried },
      surfaced: errors,
      durationSeconds: Math.round((systemClock.nowMs() - startedMs) / 1000),
    };
  } finally {
    stopping.abort();
    await testBed.stop();
  }
}

function startCity(testBed: TestBed, { seed, drivers }: ChaosCampaignOptions, history: ClientHistory): City {
  return createCity({
    url: testBed.url,
    seed,
    drivers,
    trips: Number.POSITIVE_INFINITY,
    timeScale,
    observer: history.callObserver,
  });
}

/** Waits until every trip has ended; trips that do not end are violations of the city. */
async function waitForTripsToEnd(
  cityRun: Promise<CitySummary>,
  stopping: AbortController,
): Promise<CitySummary> {
  const ended = new AbortController();
  void systemClock.sleep(tripsTimeoutMs, ended.signal).then(() => stopping.abort());
  return cityRun.finally(() => ended.abort());
}

interface CampaignProgress {
  injected: string[];
  rounds: number;
  recoveriesMs: number[];
  baselineP95Ms: number;
  normalP95Ms: number;
  violations: string[];
}

async function runRounds(
  testBed: TestBed,
  city: City,
  probe: TripProbe,
  options: ChaosCampaignOptions,
): Promise<CampaignProgress> {
  const { report, signal } = options;
  while (city.progress().phase === 'enrolling' && !signal.aborted) await systemClock.sleep(pollMs, signal);
  await systemClock.sleep(options.baselineMs ?? baselineMsDefault, signal);
  const baselineP95Ms = latencyP95Ms(probe.samples(), systemClock.nowMs());
  const normalP95Ms = Math.max(normalP95MsMin, 2 * baselineP95Ms);
  report(`a quote and a trip take ${baselineP95Ms} ms at p95; up to ${normalP95Ms} ms counts as normal`);
  const progress: CampaignProgress = {
    injected: [],
    rounds: 0,
    recoveriesMs: [],
    baselineP95Ms,
    normalP95Ms,
    violations: [],
  };
  const endsAtMs = systemClock.nowMs() + options.durationMs;
  const runOneRound = (round: FaultRound) => runRound(testBed, city, probe, progress, round, options);
  const recurring = options.kinds.filter(({ weight }) => weight > 0);
  const rounds = planRounds(options.seed, recurring);
  const needsMoreFaults = () => recurring.length > 0 && progress.injected.length < options.faults;
  while (needsMoreFaults() && systemClock.nowMs() < endsAtMs && !signal.aborted)
    await runOneRound(rounds.next().value);
  const finale = planFinale(options.kinds);
  if (finale.faults.length > 0 && !signal.aborted) await runOneRound(finale);
  return progress;
}

async function runRound(
  testBed: TestBed,
  city: City,
  probe: TripProbe,
  progress: CampaignProgress,
  round: FaultRound,
  options: ChaosCampaignOptions,
): Promise<void> {
  const injected = await injectRound(testBed, city, round, progress.violations);
  progress.rounds++;
  progress.injected.push(...injected.map(({ kind }) => kind));
  const recoveryMs = await waitForRecovery(probe, progress, options);
  if (recoveryMs !== undefined) progress.recoveriesMs.push(recoveryMs);
  progress.violations.push(...(await checkRunningInvariants(testBed)));
  const description = injected.map(({ kind, target }) => `${kind} (${target.name})`).join(', ');
  options.report(
    `${progress.injected.length} faults: ${description}; normal again after ${recoveryMs ?? '–'} ms; ` +
      `${city.progress().tally.completed} rides completed, ${progress.violations.length} violations`,
  );
}

/** Injects the planned faults and heals them; resolves when everything is healed. */
async function injectRound(
  testBed: TestBed,
  city: City,
  { faults }: FaultRound,
  violations: string[],
): Promise<PlannedFault[]> {
  const startedMs = systemClock.nowMs();
  // A target whose healing takes longer than planned gets its next fault only after that.
  const lastByResource = new Map<string, Promise<unknown>>();
  const injected: PlannedFault[] = [];
  const injectFault = async (fault: PlannedFault, previous: Promise<unknown> | undefined) => {
    await systemClock.sleep(Math.max(0, startedMs + fault.atMs - systemClock.nowMs()));
    await previous;
    const heal = await fault.target.inject(testBed, city);
    if (heal === undefined) return;
    injected.push(fault);
    await systemClock.sleep(fault.durationMs);
    await heal();
  };
  for (const fault of faults) {
    const { resource, name } = fault.target;
    const done = injectFault(fault, lastByResource.get(resource)).catch((error: unknown) => {
      violations.push(`${fault.kind} (${name}): ${error instanceof Error ? error.message : String(error)}`);
    });
    lastByResource.set(resource, done);
  }
  await Promise.all(lastByResource.values());
  return injected;
}

/** Milliseconds until latency is normal again; undefined when it does not become normal or the campaign is stopped. */
async function waitForRecovery(
  probe: TripProbe,
  progress: CampaignProgress,
  { recoveryMsMax, signal }: ChaosCampaignOptions,
): Promise<number | undefined> {
  const healedMs = systemClock.nowMs();
  const { normalP95Ms, violations, rounds } = progress;
  const reportSlowRecovery = (problem: string, untilMs: number) => {
    const between = probe.samples().filter(({ sentAtMs }) => sentAtMs >= healedMs && sentAtMs < untilMs);
    const trouble = describeSlowness(between, normalP95Ms, systemClock.nowMs());
    violations.push(`round ${rounds}: ${problem} after all faults were healed (${trouble})`);
  };
  while (!signal.aborted) {
    const nowMs = systemClock.nowMs();
    const normalMs = recoveredAtMs(probe.samples(), healedMs, normalP95Ms, nowMs);
    if (normalMs !== undefined) {
      const recoveryMs = normalMs - healedMs;
      if (recoveryMs > recoveryMsMax) reportSlowRecovery(`normal only ${recoveryMs} ms`, normalMs);
      return recoveryMs;
    }
    if (nowMs - healedMs > recoveryTimeoutMs) {
      reportSlowRecovery(`not normal ${recoveryTimeoutMs} ms`, nowMs);
      return undefined;
    }
    await systemClock.sleep(pollMs, signal);
  }
  return undefined;
}

function summarizeProgress({ injected, rounds, recoveriesMs, baselineP95Ms, normalP95Ms }: CampaignProgress) {
  const kinds: Record<string, number> = {};
  for (const kind of injected) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const sorted = recoveriesMs.toSorted((a, b) => a - b);
  return {
    faults: injected.length,
    kinds,
    rounds,
    recoveryMsMax: sorted.at(-1) ?? 0,
    recoveryMsP50: sorted[Math.floor(sorted.length / 2)] ?? 0,
    baselineP95Ms,
    normalP95Ms,
  };
}
