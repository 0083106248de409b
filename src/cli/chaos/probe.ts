import { systemClock } from '@platform/clock.ts';
import { systemRandom } from '@platform/random.ts';
import { type Client, createClient } from '../city/client.ts';
import { createCrowd } from '../city/crowd.ts';
import { type CallWatch, createHttp } from '../city/http.ts';
import { enrol } from '../city/session.ts';
import { count, createTally, percentile } from '../city/tally.ts';

/** One quote and one trip asked for, as a rider lives it. */
export interface Sample {
  sentAtMs: number;
  /** Until the trip was acknowledged, or the refusal came; undefined: not yet. */
  ms?: number;
  /** Of the quote; null: no answer came. */
  quote?: number | null;
  /** Of the trip; undefined: it was not asked for, since there was no quote. */
  trip?: number | null;
}

export const isGood = ({ trip }: Sample): boolean => trip === 201;

/** Riders who ask at an even pace, whatever becomes of it, where no driver is: each trip is cancelled at once. */
export interface Probe {
  samples(): readonly Sample[];
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
export async function startProbe(url: string, watch: CallWatch): Promise<Probe> {
  const stopping = new AbortController();
  const ended = new AbortController();
  const samples: Sample[] = [];
  const free = await Promise.all(
    Array.from({ length: riders }, (_, index) => signUp(url, watch, index, ended.signal)),
  );
  let asked = 0;
  const asking = createCrowd(() => stopping.abort());
  const ticking = tick();

  async function tick(): Promise<void> {
    while (!stopping.signal.aborted) {
      const asker = free.shift();
      // All are still waiting for their answers: that is an answer, too.
      if (asker === undefined)
        samples.push({ sentAtMs: systemClock.nowMs(), ms: requestTimeoutMs, quote: null });
      else asking.add(ask(asker, `probe-${++asked}`).finally(() => free.push(asker)));
      await systemClock.sleep(everyMs, stopping.signal);
    }
  }

  async function ask({ hasty, patient }: Asker, key: string): Promise<void> {
    const sample: Sample = { sentAtMs: systemClock.nowMs() };
    samples.push(sample);
    const quote = await hasty.quote({ pickup, dropoff, product: 'car_xl' }, `${key}-quote`);
    const trip = quote.ok ? await hasty.createTrip(quote.value.id, `${key}-trip`) : undefined;
    sample.ms = systemClock.nowMs() - sample.sentAtMs;
    sample.quote = quote.ok ? 201 : quote.status;
    if (trip !== undefined) sample.trip = trip.ok ? 201 : trip.status;
    if (trip?.ok) await patient.cancel(trip.value.id, 'probe');
    else if (trip !== undefined) await cancelWhatIsThere(patient);
  }

  return {
    samples: () => samples,
    async stop() {
      stopping.abort();
      await ticking;
      await asking.done();
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

async function signUp(url: string, watch: CallWatch, index: number, signal: AbortSignal): Promise<Asker> {
  const http = createHttp({
    baseUrl: url,
    clock: systemClock,
    random: systemRandom,
    tally: createTally(),
    requestTimeoutMs,
    watch,
  });
  const enrolment = {
    email: `probe-${index}@chaos.example`,
    password: `probe-${index}-password`,
    name: `Probe ${index}`,
    role: 'rider',
  } as const;
  const caller = await enrol(http, systemClock, enrolment, signal);
  if (!caller.ok) throw new Error(`the probe cannot sign up: ${caller.code}`);
  const patient = createClient(caller.value, signal);
  const hasty = createClient(
    { ...caller.value, send: (call) => caller.value.send({ ...call, patienceMs: 0 }) },
    signal,
  );
  const card = await patient.addCard('tok_visa', `probe-card-${index}`);
  if (!card.ok) throw new Error(`the probe gets no card: ${card.code}`);
  return { hasty, patient };
}

const windowMs = 2_000;
const windowSamplesMin = 12;

/** Of a quote and its trip, in milliseconds; what is not answered yet counts with its age. */
export const p95 = (samples: readonly Sample[], nowMs: number): number =>
  percentile(
    samples.map(({ sentAtMs, ms }) => ms ?? nowMs - sentAtMs),
    0.95,
  ) ?? Number.POSITIVE_INFINITY;

/**
 * When things were normal again: the beginning of the first 2 s, at or after `fromMs`, in which every trip
 * that was asked for was acknowledged, with a p95 within `boundMs`. Undefined as long as there are none.
 */
export function normalAgainAtMs(
  samples: readonly Sample[],
  fromMs: number,
  boundMs: number,
  nowMs: number,
): number | undefined {
  const later = samples.filter(({ sentAtMs }) => sentAtMs >= fromMs);
  for (const { sentAtMs: startMs } of later) {
    if (startMs + windowMs > nowMs) return undefined;
    const window = later.filter(({ sentAtMs }) => sentAtMs >= startMs && sentAtMs < startMs + windowMs);
    if (window.length >= windowSamplesMin && window.every(isGood) && p95(window, nowMs) <= boundMs)
      return startMs;
  }
  return undefined;
}

/** What kept things from being normal, for people: "503 × 12, quote 503 × 3, slow × 4 (up to 900 ms)". */
export function describeTrouble(samples: readonly Sample[], boundMs: number, nowMs: number): string {
  const counts = new Map<string, number>();
  let slowestMs = 0;
  for (const sample of samples) {
    const ms = sample.ms ?? nowMs - sample.sentAtMs;
    slowestMs = Math.max(slowestMs, ms);
    const trouble = troubleOf(sample, ms > boundMs);
    if (trouble !== undefined) count(counts, trouble);
  }
  const parts = [...counts].map(([trouble, times]) => `${trouble} × ${times}`);
  return `${parts.join(', ') || 'too few answers'}; the slowest took ${slowestMs} ms`;
}

function troubleOf(sample: Sample, isSlow: boolean): string | undefined {
  if (isGood(sample)) return isSlow ? 'slow' : undefined;
  if (sample.ms === undefined) return 'unanswered';
  if (sample.trip !== undefined) return `trip ${sample.trip ?? 'unanswered'}`;
  return `quote ${sample.quote ?? 'unanswered'}`;
}
