import { systemClock } from '@platform/clock.ts';
import { systemRandom } from '@platform/random.ts';
import { enrolPerson } from '../city/authenticated-client.ts';
import { type Client, createClient } from '../city/client.ts';
import { createTaskGroup } from '../city/concurrency.ts';
import { type ApiCallObserver, createApiTransport } from '../city/http.ts';
import { createCityTally, incrementCount, percentile } from '../city/tally.ts';

/** One quote and one trip asked for, as a rider lives it. */
export interface ProbeSample {
  sentAtMs: number;
  /** Until the trip was acknowledged, or the refusal came; undefined: not yet. */
  durationMs?: number;
  /** Of the quote; null: no answer came. */
  quoteStatus?: number | null;
  /** Of the trip; undefined: it was not asked for, since there was no quote. */
  tripStatus?: number | null;
}

export const isCreated = ({ tripStatus }: ProbeSample): boolean => tripStatus === 201;

/** Riders who ask at an even pace, whatever becomes of it, where no driver is: each trip is cancelled at once. */
export interface TripProbe {
  samples(): readonly ProbeSample[];
  /** Lets what is under way end. */
  stop(): Promise<void>;
}

const everyMs = 125;
const riders = 12;
const requestTimeoutMs = 9_000;
// Out at sea.
const pickup = { lat: 9.5, lng: 109.5 };
const dropoff = { lat: 9.52, lng: 109.52 };

interface Asker {
  /** Asks once. */
  hasty: Client;
  /** Waits out an outage. */
  patient: Client;
}

/** Rejects when the riders cannot be enrolled. */
export async function startTripProbe(url: string, watch: ApiCallObserver): Promise<TripProbe> {
  const stopping = new AbortController();
  const ended = new AbortController();
  const samples: ProbeSample[] = [];
  const free = await Promise.all(
    Array.from({ length: riders }, (_, index) => signUp(url, watch, index, ended.signal)),
  );
  let asked = 0;
  const asking = createTaskGroup(() => stopping.abort());
  const ticking = tick();

  async function tick(): Promise<void> {
    while (!stopping.signal.aborted) {
      const asker = free.shift();
      // All are still waiting for their answers: that is an answer, too.
      if (asker === undefined)
        samples.push({ sentAtMs: systemClock.nowMs(), durationMs: requestTimeoutMs, quoteStatus: null });
      else asking.add(ask(asker, `probe-${++asked}`).finally(() => free.push(asker)));
      await systemClock.sleep(everyMs, stopping.signal);
    }
  }

  async function ask({ hasty, patient }: Asker, key: string): Promise<void> {
    const sample: ProbeSample = { sentAtMs: systemClock.nowMs() };
    samples.push(sample);
    const quote = await hasty.quote({ pickup, dropoff, product: 'car_xl' }, `${key}-quote`);
    const trip = quote.ok ? await hasty.createTrip(quote.value.id, `${key}-trip`) : undefined;
    sample.durationMs = systemClock.nowMs() - sample.sentAtMs;
    sample.quoteStatus = quote.ok ? 201 : quote.status;
    if (trip !== undefined) sample.tripStatus = trip.ok ? 201 : trip.status;
    if (trip?.ok) await patient.cancel(trip.value.id, 'probe');
    else if (trip !== undefined) await cancelWhatIsThere(patient);
  }

  return {
    samples: () => samples,
    async stop() {
      stopping.abort();
      await ticking;
      await asking.waitForAll();
      ended.abort();
    },
  };
}

/** A create without an answer may have happened. */
async function cancelWhatIsThere(rider: Client): Promise<void> {
  const list = await rider.trips(5);
  for (const { id, endedBy } of list.ok ? list.value.items : [])
    if (endedBy === null) await rider.cancel(id, 'probe');
}

async function signUp(
  url: string,
  observer: ApiCallObserver,
  index: number,
  signal: AbortSignal,
): Promise<Asker> {
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
  const patient = createClient(caller.value, signal);
  const hasty = createClient(
    { ...caller.value, send: (call) => caller.value.send({ ...call, retryForMs: 0 }) },
    signal,
  );
  const card = await patient.addCard('tok_visa', `probe-card-${index}`);
  if (!card.ok) throw new Error(`the probe gets no card: ${card.code}`);
  return { hasty, patient };
}

const windowMs = 2_000;
const windowSamplesMin = 12;

/** Of a quote and its trip, in milliseconds; what is not answered yet counts with its age. */
export const latencyP95Ms = (samples: readonly ProbeSample[], nowMs: number): number =>
  percentile(
    samples.map(({ sentAtMs, durationMs }) => durationMs ?? nowMs - sentAtMs),
    0.95,
  ) ?? Number.POSITIVE_INFINITY;

/**
 * When things were normal again: the beginning of the first 2 s, at or after `fromMs`, in which every trip
 * that was asked for was acknowledged, with a p95 within `boundMs`. Undefined as long as there are none.
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

/** What kept things from being normal, for people: "503 × 12, quote 503 × 3, slow × 4 (up to 900 ms)". */
export function describeTrouble(samples: readonly ProbeSample[], boundMs: number, nowMs: number): string {
  const counts = new Map<string, number>();
  let slowestMs = 0;
  for (const sample of samples) {
    const ms = sample.durationMs ?? nowMs - sample.sentAtMs;
    slowestMs = Math.max(slowestMs, ms);
    const trouble = troubleOf(sample, ms > boundMs);
    if (trouble !== undefined) incrementCount(counts, trouble);
  }
  const parts = [...counts].map(([trouble, times]) => `${trouble} × ${times}`);
  return `${parts.join(', ') || 'too few answers'}; the slowest took ${slowestMs} ms`;
}

function troubleOf(sample: ProbeSample, isSlow: boolean): string | undefined {
  if (isCreated(sample)) return isSlow ? 'slow' : undefined;
  if (sample.durationMs === undefined) return 'unanswered';
  if (sample.tripStatus !== undefined) return `trip ${sample.tripStatus ?? 'unanswered'}`;
  return `quote ${sample.quoteStatus ?? 'unanswered'}`;
}
