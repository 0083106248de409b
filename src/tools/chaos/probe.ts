import { systemClock } from '@platform/clock.ts';
import { systemRandom } from '@platform/random.ts';
import { enrolPerson } from '../city/authenticated-client.ts';
import { type Client, createClient } from '../city/client.ts';
import { createTaskGroup } from '../city/concurrency.ts';
import { type ApiCallObserver, createApiTransport } from '../city/http.ts';
import { createCityTally, incrementCount, percentile } from '../city/tally.ts';

/** One quote and one trip requested by a rider. */
export interface ProbeSample {
  sentAtMs: number;
  /** The time until the trip was acknowledged or refused; undefined while there is no answer. */
  durationMs?: number;
  /** The status of the quote; null if no answer arrived. */
  quoteStatus?: number | null;
  /** The status of the trip; undefined if it was not requested because there was no quote. */
  tripStatus?: number | null;
}

export const isCreated = ({ tripStatus }: ProbeSample): boolean => tripStatus === 201;

/** Riders who request trips at an even pace, whatever the outcome, where there are no drivers. Each trip is cancelled at once. */
export interface TripProbe {
  samples(): readonly ProbeSample[];
  /** Waits for the requests in flight. */
  stop(): Promise<void>;
}

const everyMs = 125;
const riders = 12;
const requestTimeoutMs = 9_000;
// In the sea, where no driver is.
const pickup = { lat: 9.5, lng: 109.5 };
const dropoff = { lat: 9.52, lng: 109.52 };

interface ProbeRider {
  /** Sends each request once. */
  sendOnce: Client;
  /** Repeats requests during an outage. */
  retrying: Client;
}

/** Rejects when the riders cannot be registered. */
export async function startTripProbe(url: string, observer: ApiCallObserver): Promise<TripProbe> {
  const stopping = new AbortController();
  const ended = new AbortController();
  const samples: ProbeSample[] = [];
  const idleRiders = await Promise.all(
    Array.from({ length: riders }, (_, index) => signUp(url, observer, index, ended.signal)),
  );
  let requestCount = 0;
  const inFlight = createTaskGroup(() => stopping.abort());
  const requesting = requestPeriodically();

  async function requestPeriodically(): Promise<void> {
    while (!stopping.signal.aborted) {
      const rider = idleRiders.shift();
      // All riders still wait for answers, which counts as a request without an answer.
      if (rider === undefined)
        samples.push({ sentAtMs: systemClock.nowMs(), durationMs: requestTimeoutMs, quoteStatus: null });
      else inFlight.add(requestTrip(rider, `probe-${++requestCount}`).finally(() => idleRiders.push(rider)));
      await systemClock.sleep(everyMs, stopping.signal);
    }
  }

  async function requestTrip({ sendOnce, retrying }: ProbeRider, key: string): Promise<void> {
    const sample: ProbeSample = { sentAtMs: systemClock.nowMs() };
    samples.push(sample);
    const quote = await sendOnce.quote({ pickup, dropoff, product: 'car_xl' }, `${key}-quote`);
    const trip = quote.ok ? await sendOnce.createTrip(quote.value.id, `${key}-trip`) : undefined;
    sample.durationMs = systemClock.nowMs() - sample.sentAtMs;
    sample.quoteStatus = quote.ok ? 201 : quote.status;
    if (trip !== undefined) sample.tripStatus = trip.ok ? 201 : trip.status;
    if (trip?.ok) await retrying.cancel(trip.value.id, 'probe');
    else if (trip !== undefined) await cancelOpenTrips(retrying);
  }

  return {
    samples: () => samples,
    async stop() {
      stopping.abort();
      await requesting;
      await inFlight.waitForAll();
      ended.abort();
    },
  };
}

/** A trip whose creation was not answered may exist. */
async function cancelOpenTrips(rider: Client): Promise<void> {
  const list = await rider.trips(5);
  for (const { id, endedBy } of list.ok ? list.value.items : [])
    if (endedBy === null) await rider.cancel(id, 'probe');
}

async function signUp(
  url: string,
  observer: ApiCallObserver,
  index: number,
  signal: AbortSignal,
): Promise<ProbeRider> {
  const http = createApiTransport({
    baseUrl: url,
    clock: systemClock,
    random: systemRandom,
    tally: createCityTally(),
    requestTimeoutMs,
    observer,
  });
  const enrolment = {
    email: `probe-${index}@chaos.example`,
    password: `probe-${index}-password`,
    name: `Probe ${index}`,
    role: 'rider',
  } as const;
  const caller = await enrolPerson(http, systemClock, enrolment, signal);
  if (!caller.ok) throw new Error(`the probe cannot sign up: ${caller.code}`);
  const retrying = createClient(caller.value, signal);
  const sendOnce = createClient(
    { ...caller.value, send: (call) => caller.value.send({ ...call, retryForMs: 0 }) },
    signal,
  );
  const card = await retrying.addCard('tok_visa', `probe-card-${index}`);
  if (!card.ok) throw new Error(`the probe cannot add a card: ${card.code}`);
  return { sendOnce, retrying };
}

const windowMs = 2_000;
const windowSamplesMin = 12;

/** The p95 latency of a quote and its trip; a sample without an answer counts with its age. */
export const latencyP95Ms = (samples: readonly ProbeSample[], nowMs: number): number =>
  percentile(
    samples.map(({ sentAtMs, durationMs }) => durationMs ?? nowMs - sentAtMs),
    0.95,
  ) ?? Number.POSITIVE_INFINITY;

/**
 * The time of recovery: the start of the first 2 s, at or after `fromMs`, in which every requested trip was
 * acknowledged with a p95 within `boundMs`. Undefined while there are none.
 */
export function recoveredAtMs(
  samples: readonly ProbeSample[],
  fromMs: number,
  boundMs: number,
  nowMs: number,
): number | undefined {
  const later = samples.filter(({ sentAtMs }) => sentAtMs >= fromMs);
  for (const { sentAtMs: startMs } of later) {
    if (startMs + windowMs > nowMs) return undefined;
    const window = later.filter(({ sentAtMs }) => sentAtMs >= startMs && sentAtMs < startMs + windowMs);
    if (
      window.length >= windowSamplesMin &&
      window.every(isCreated) &&
      latencyP95Ms(window, nowMs) <= boundMs
    )
      return startMs;
  }
  return undefined;
}

/** Why latency was not normal, as text: "503 × 12, quote 503 × 3, slow × 4 (up to 900 ms)". */
export function describeSlowness(samples: readonly ProbeSample[], boundMs: number, nowMs: number): string {
  const counts = new Map<string, number>();
  let slowestMs = 0;
  for (const sample of samples) {
    const ms = sample.durationMs ?? nowMs - sample.sentAtMs;
    slowestMs = Math.max(slowestMs, ms);
    const problem = problemOf(sample, ms > boundMs);
    if (problem !== undefined) incrementCount(counts, problem);
  }
  const parts = [...counts].map(([problem, times]) => `${problem} × ${times}`);
  return `${parts.join(', ') || 'too few answers'}; the slowest took ${slowestMs} ms`;
}

function problemOf(sample: ProbeSample, isSlow: boolean): string | undefined {
  if (isCreated(sample)) return isSlow ? 'slow' : undefined;
  if (sample.durationMs === undefined) return 'unanswered';
  if (sample.tripStatus !== undefined) return `trip ${sample.tripStatus ?? 'unanswered'}`;
  return `quote ${sample.quoteStatus ?? 'unanswered'}`;
}
