import { systemClock } from '@platform/clock.ts';
import { type City, createCity } from '../city/index.ts';
import type { CitySummary } from '../city/summary.ts';
import { checkFinalInvariants, checkRunningInvariants } from './audit.ts';
import { type ClientHistory, countAcknowledged, createClientHistory } from './client-history.ts';
import { startEventRecorder } from './event-recorder.ts';
import type { ChaosFaultKind } from './fault-kinds.ts';
import { type FaultRound, type PlannedFault, planFinale, planRounds } from './plan.ts';
import { describeTrouble, latencyP95Ms, recoveredAtMs, startTripProbe, type TripProbe } from './probe.ts';
import { startTestBed, type TestBed } from './test-bed.ts';

export interface ChaosCampaignOptions {
  seed: number;
  kinds: readonly ChaosFaultKind[];
  /** Ends after the round that brings this many faults, or after this time, whichever is first. */
  faults: number;
  durationMs: number;
  drivers: number;
  /** Overrides settings of the services. */
  env?: Readonly<Record<string, string>>;
  /** How long is looked at what is normal before the first fault. */
  baselineMs?: number;
  /** Longer than this until normal latency counts as a violation. */
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
  /** From the moment everything was healed until trips are created as fast as before. */
  recoveryMsMax: number;
  recoveryMsP50: number;
  /** A quote and a trip, at p95: before the first fault, and what counted as normal afterwards. */
  baselineP95Ms: number;
  normalP95Ms: number;
  acknowledged: ReturnType<typeof countAcknowledged>;
  /** Heard at the broker, repetitions included. */
  events: number;
  city: Pick<CitySummary, 'requested' | 'completed' | 'captured' | 'cancelled' | 'unfulfilled' | 'retried'>;
  /** What reached the people of the city in spite of their retries, by code. */
  surfaced: Record<string, number>;
  durationSeconds: number;
}

const timeScale = 60;
const settings = {
  // Several leases follow from it: shorter ones are outlived more often.
  PROVIDER_TIMEOUT_MS: '1000',
  // Who finds no driver waits less long for the end of that, and so does the campaign.
  SEARCH_TIMEOUT_SECONDS: '20',
  LIMIT_REALTIME_PER_MINUTE: '60000',
};
const baselineMsUsual = 6_000;
const normalP95MsMin = 250;
const recoveryTimeoutMs = 60_000;
const pollMs = 100;
const ridesTimeoutMs = 240_000;

/** Faults against the whole system while a city drives in it. Rejects when the system does not even start. */
export async function runChaosCampaign(options: ChaosCampaignOptions): Promise<ChaosCampaignSummary> {
  const startedMs = systemClock.nowMs();
  const stand = await startTestBed({
    env: { ...settings, ...options.env },
    signal: options.signal,
    report: options.report,
  });
  const history = createClientHistory();
  const leaving = new AbortController();
  try {
    const eavesdropper = await startEventRecorder(stand.server('rabbitmq').url);
    const city = startCity(stand, options, history);
    const living = city.run(leaving.signal);
    // Heard of where it is awaited; a city that fails earlier must not end the process.
    living.catch(() => undefined);
    const probe = await startTripProbe(stand.url, history.callObserver);
    const course = await strikeRounds(stand, city, probe, options);
    await probe.stop();
    city.stop();
    const summary = await endOfRides(living, leaving);
    const { violations, events } = await checkFinalInvariants(stand, history, eavesdropper);
    const { errors, violations: seen, ...rest } = summary;
    const { requested, completed, captured, cancelled, unfulfilled, retried } = rest;
    return {
      seed: options.seed,
      ...describeCourse(course),
      violations: [
        ...course.violations,
        ...seen.map(({ rule, tripId, detail }) => `city: ${rule} of trip ${tripId ?? '–'}: ${detail}`),
        ...violations,
      ],
      acknowledged: countAcknowledged(history.acknowledged),
      events,
      city: { requested, completed, captured, cancelled, unfulfilled, retried },
      surfaced: errors,
      durationSeconds: Math.round((systemClock.nowMs() - startedMs) / 1000),
    };
  } finally {
    leaving.abort();
    await stand.stop();
  }
}

function startCity(stand: TestBed, { seed, drivers }: ChaosCampaignOptions, history: ClientHistory): City {
  return createCity({
    url: stand.url,
    seed,
    drivers,
    trips: Number.POSITIVE_INFINITY,
    timeScale,
    observer: history.callObserver,
  });
}

/** Every ride has its end in reach now; those that do not come there are the city's violations. */
async function endOfRides(living: Promise<CitySummary>, leaving: AbortController): Promise<CitySummary> {
  const over = new AbortController();
  void systemClock.sleep(ridesTimeoutMs, over.signal).then(() => leaving.abort());
  return living.finally(() => over.abort());
}

interface Course {
  struck: string[];
  rounds: number;
  recoveriesMs: number[];
  baselineP95Ms: number;
  normalP95Ms: number;
  violations: string[];
}

async function strikeRounds(
  stand: TestBed,
  city: City,
  probe: TripProbe,
  options: ChaosCampaignOptions,
): Promise<Course> {
  const { report, signal } = options;
  while (city.progress().phase === 'enrolling' && !signal.aborted) await systemClock.sleep(pollMs, signal);
  await systemClock.sleep(options.baselineMs ?? baselineMsUsual, signal);
  const baselineP95Ms = latencyP95Ms(probe.samples(), systemClock.nowMs());
  const normalP95Ms = Math.max(normalP95MsMin, 2 * baselineP95Ms);
  report(
    `a quote and a trip take ${baselineP95Ms} ms at p95; up to ${normalP95Ms} ms is normal from here on`,
  );
  const course: Course = {
    struck: [],
    rounds: 0,
    recoveriesMs: [],
    baselineP95Ms,
    normalP95Ms,
    violations: [],
  };
  const endsAtMs = systemClock.nowMs() + options.durationMs;
  const one = (round: FaultRound) => playRound(stand, city, probe, course, round, options);
  const recurring = options.kinds.filter(({ weight }) => weight > 0);
  const rounds = planRounds(options.seed, recurring);
  const isWanted = () => recurring.length > 0 && course.struck.length < options.faults;
  while (isWanted() && systemClock.nowMs() < endsAtMs && !signal.aborted) await one(rounds.next().value);
  const finale = planFinale(options.kinds);
  if (finale.faults.length > 0 && !signal.aborted) await one(finale);
  return course;
}

async function playRound(
  stand: TestBed,
  city: City,
  probe: TripProbe,
  course: Course,
  round: FaultRound,
  options: ChaosCampaignOptions,
): Promise<void> {
  const struck = await strikeRound(stand, city, round, course.violations);
  course.rounds++;
  course.struck.push(...struck.map(({ kind }) => kind));
  const recoveryMs = await recover(probe, course, options);
  if (recoveryMs !== undefined) course.recoveriesMs.push(recoveryMs);
  course.violations.push(...(await checkRunningInvariants(stand)));
  const told = struck.map(({ kind, target }) => `${kind} (${target.name})`).join(', ');
  options.report(
    `${course.struck.length} faults: ${told}; normal again after ${recoveryMs ?? '–'} ms; ` +
      `${city.progress().tally.completed} rides completed, ${course.violations.length} violations`,
  );
}

/** Strikes as planned and heals; resolves when everything is healed. */
async function strikeRound(
  stand: TestBed,
  city: City,
  { faults }: FaultRound,
  violations: string[],
): Promise<PlannedFault[]> {
  const startedMs = systemClock.nowMs();
  // A target whose healing takes longer than planned is not hit again before it ends.
  const busy = new Map<string, Promise<unknown>>();
  const struck: PlannedFault[] = [];
  const strike = async (fault: PlannedFault, before: Promise<unknown> | undefined) => {
    await systemClock.sleep(Math.max(0, startedMs + fault.atMs - systemClock.nowMs()));
    await before;
    const heal = await fault.target.inject(stand, city);
    if (heal === undefined) return;
    struck.push(fault);
    await systemClock.sleep(fault.durationMs);
    await heal();
  };
  for (const fault of faults) {
    const { resource, name } = fault.target;
    const done = strike(fault, busy.get(resource)).catch((error: unknown) => {
      violations.push(`${fault.kind} (${name}): ${error instanceof Error ? error.message : String(error)}`);
    });
    busy.set(resource, done);
  }
  await Promise.all(busy.values());
  return struck;
}

/** Milliseconds until normal latency is back; undefined when it does not come back, or the campaign was ended. */
async function recover(
  probe: TripProbe,
  course: Course,
  { recoveryMsMax, signal }: ChaosCampaignOptions,
): Promise<number | undefined> {
  const healedMs = systemClock.nowMs();
  const { normalP95Ms, violations, rounds } = course;
  const complain = (what: string, untilMs: number) => {
    const between = probe.samples().filter(({ sentAtMs }) => sentAtMs >= healedMs && sentAtMs < untilMs);
    const trouble = describeTrouble(between, normalP95Ms, systemClock.nowMs());
    violations.push(`round ${rounds}: ${what} after everything was healed (${trouble})`);
  };
  while (!signal.aborted) {
    const nowMs = systemClock.nowMs();
    const normalMs = recoveredAtMs(probe.samples(), healedMs, normalP95Ms, nowMs);
    if (normalMs !== undefined) {
      const recoveryMs = normalMs - healedMs;
      if (recoveryMs > recoveryMsMax) complain(`normal only ${recoveryMs} ms`, normalMs);
      return recoveryMs;
    }
    if (nowMs - healedMs > recoveryTimeoutMs) {
      complain(`not normal ${recoveryTimeoutMs} ms`, nowMs);
      return undefined;
    }
    await systemClock.sleep(pollMs, signal);
  }
  return undefined;
}

function describeCourse({ struck, rounds, recoveriesMs, baselineP95Ms, normalP95Ms }: Course) {
  const kinds: Record<string, number> = {};
  for (const kind of struck) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const sorted = recoveriesMs.toSorted((a, b) => a - b);
  return {
    faults: struck.length,
    kinds,
    rounds,
    recoveryMsMax: sorted.at(-1) ?? 0,
    recoveryMsP50: sorted[Math.floor(sorted.length / 2)] ?? 0,
    baselineP95Ms,
    normalP95Ms,
  };
}
