import { headers, ProblemDetails } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler';
import type { CityTally } from './tally.ts';

export interface ApiCall<S extends TSchema> {
  method: 'GET' | 'PUT' | 'POST';
  path: string;
  /** What a 2xx answer must look like. */
  responseSchema: CompiledSchema<S>;
  body?: unknown;
  token?: string | undefined;
  idempotencyKey?: string;
  signal: AbortSignal;
  /**
   * How long an outage (no connection, 429, 502, 503, 504) is waited out by asking again; 0 asks once.
   * Asking again is safe: reads and PUTs are idempotent, POSTs that create carry an Idempotency-Key, and
   * a trip refuses a step that it has already made.
   */
  retryForMs?: number;
}

export type ApiReply<T> = { ok: true; value: T } | FailedReply;
export interface FailedReply {
  ok: false;
  /** The problem's stable code, or one of ours: `network.unreachable`, `network.timeout`, `http.500`, `answer.unexpected`, `city.closed`, `city.silent`. */
  code: string;
  /** null when nothing was answered. */
  status: number | null;
  detail: string;
  /** An earlier attempt got no answer: what was asked for may have happened nevertheless. */
  isOutcomeUnknown: boolean;
}

export interface ApiTransport {
  send<S extends TSchema>(call: ApiCall<S>): Promise<ApiReply<Static<S>>>;
}

/** A compiled schema, made once for each kind of answer. */
export type CompiledSchema<S extends TSchema> = TypeCheck<S>;
export const compileSchema = <S extends TSchema>(schema: S): CompiledSchema<S> =>
  TypeCompiler.Compile(schema);

/** Hears of every call: what was attempted before it is, and what was acknowledged. */
export interface ApiCallObserver {
  onSent(call: ApiCall<TSchema>): void;
  /** An answer of the promised shape came. */
  onAnswered(call: ApiCall<TSchema>, value: unknown): void;
}

export interface ApiTransportDeps {
  baseUrl: string;
  clock: Clock;
  random: Random;
  tally: CityTally;
  requestTimeoutMs?: number;
  retryForMs?: number;
  observer?: ApiCallObserver | undefined;
}

// Longer than the edge gives a service (8 s), so that its answer is heard and not ours made up.
const defaultRequestTimeoutMs = 12_000;
// A killed service is back within seconds, a breaker in front of it some seconds later.
const defaultPatienceMs = 60_000;
const firstPauseMs = 150;
const pauseMsMax = 3_000;

type Attempt<T> =
  | { kind: 'answered'; value: T }
  | { kind: 'refused'; refusal: FailedReply }
  | { kind: 'outage'; refusal: FailedReply; retryAfterMs: number };

/** HTTP as a well-behaved client speaks it: problem details read, outages waited out, answers checked. */
export function createApiTransport(options: ApiTransportDeps): ApiTransport {
  const { clock, random, tally } = options;
  const requestTimeoutMs = options.requestTimeoutMs ?? defaultRequestTimeoutMs;

  return {
    async send(call) {
      options.observer?.onSent(call);
      const untilMs = clock.nowMs() + (call.retryForMs ?? options.retryForMs ?? defaultPatienceMs);
      let isOutcomeUnknown = false;
      let pauseMs = firstPauseMs;
      for (;;) {
        const attempt = await once(call);
        if (attempt.kind === 'answered') {
          options.observer?.onAnswered(call, attempt.value);
          return { ok: true, value: attempt.value };
        }
        const refusal: FailedReply = { ...attempt.refusal, isOutcomeUnknown };
        if (attempt.kind === 'refused' || clock.nowMs() >= untilMs) return refusal;
        // 429 is said before anything is done; all other outages may have done it.
        isOutcomeUnknown ||= refusal.status !== 429;
        tally.retried++;
        await clock.sleep(Math.max(attempt.retryAfterMs, pauseMs) * (1 + random.next() / 2), call.signal);
        pauseMs = Math.min(pauseMsMax, pauseMs * 2);
      }
    },
  };

  async function once<S extends TSchema>(call: ApiCall<S>): Promise<Attempt<Static<S>>> {
    if (call.signal.aborted) return refused('city.closed', null, 'the city has closed');
    const deadline = new AbortController();
    const stop = () => deadline.abort();
    const timer = setTimeout(stop, requestTimeoutMs);
    call.signal.addEventListener('abort', stop, { once: true });
    try {
      const response = await fetch(`${options.baseUrl}${call.path}`, {
        ...requestOf(call),
        signal: deadline.signal,
      });
      return read(call, response, await response.text());
    } catch (error) {
      if (call.signal.aborted) return refused('city.closed', null, 'the city has closed');
      const code = deadline.signal.aborted ? 'network.timeout' : 'network.unreachable';
      return outage(code, null, error instanceof Error ? error.message : String(error), 0);
    } finally {
      clearTimeout(timer);
      call.signal.removeEventListener('abort', stop);
    }
  }
}

function requestOf(call: ApiCall<TSchema>): RequestInit {
  const sent = new Headers({ accept: 'application/json' });
  if (call.token !== undefined) sent.set('authorization', `Bearer ${call.token}`);
  if (call.idempotencyKey !== undefined) sent.set(headers.idempotencyKey, call.idempotencyKey);
  if (call.body === undefined) return { method: call.method, headers: sent };
  sent.set('content-type', 'application/json');
  return { method: call.method, headers: sent, body: JSON.stringify(call.body) };
}

const problemShape = compileSchema(ProblemDetails);
const outageStatuses = new Set([429, 502, 503, 504]);

function read<S extends TSchema>(call: ApiCall<S>, response: Response, text: string): Attempt<Static<S>> {
  const body = parse(text);
  if (response.ok) {
    if (call.responseSchema.Check(body)) return { kind: 'answered', value: body };
    const [first] = call.responseSchema.Errors(body);
    const where = `${call.method} ${call.path} answered ${response.status} with a body of another shape`;
    return refused('answer.unexpected', response.status, `${where}: ${first?.path} ${first?.message}`);
  }
  const problem = problemShape.Check(body) ? body : undefined;
  const code = problem?.code ?? `http.${response.status}`;
  const detail = problem?.detail ?? problem?.title ?? text.slice(0, 200);
  if (!outageStatuses.has(response.status)) return refused(code, response.status, detail);
  return outage(code, response.status, detail, Number(response.headers.get('retry-after') ?? 0) * 1000 || 0);
}

/** undefined when it is empty or no JSON. */
function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

const refused = (code: string, status: number | null, detail: string) =>
  ({ kind: 'refused', refusal: { ok: false, code, status, detail, isOutcomeUnknown: false } }) as const;

const outage = (code: string, status: number | null, detail: string, retryAfterMs: number) =>
  ({
    kind: 'outage',
    refusal: { ok: false, code, status, detail, isOutcomeUnknown: false },
    retryAfterMs,
  }) as const;
