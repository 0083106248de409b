import { headers, ProblemDetails } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler';
import type { CityTally } from './tally.ts';

export interface ApiCall<S extends TSchema> {
  method: 'GET' | 'PUT' | 'POST';
  path: string;
  /** The schema of a successful response. */
  responseSchema: CompiledSchema<S>;
  body?: unknown;
  token?: string | undefined;
  idempotencyKey?: string;
  signal: AbortSignal;
  /**
   * How long to retry during an outage (no connection, 429, 502, 503, 504); 0 sends the request once. Retries are safe:
   * reads and PUTs are idempotent, POSTs that create carry an Idempotency-Key, and a trip rejects a transition that
   * was already made.
   */
  retryForMs?: number;
}

export type ApiReply<T> = { ok: true; value: T } | FailedReply;
export interface FailedReply {
  ok: false;
  /** The problem's code, or a local one: `network.unreachable`, `network.timeout`, `http.500`, `answer.unexpected`, `city.closed`, `city.disconnected`. */
  code: string;
  /** null without a response. */
  status: number | null;
  detail: string;
  /** An earlier attempt got no response, so the request may have been applied. */
  isOutcomeUnknown: boolean;
}

export interface ApiTransport {
  send<S extends TSchema>(call: ApiCall<S>): Promise<ApiReply<Static<S>>>;
}

/** A compiled schema, created once for each kind of response. */
export type CompiledSchema<S extends TSchema> = TypeCheck<S>;
export const compileSchema = <S extends TSchema>(schema: S): CompiledSchema<S> =>
  TypeCompiler.Compile(schema);

/** Observes every call, before it is sent and after it succeeded. */
export interface ApiCallObserver {
  onSent(call: ApiCall<TSchema>): void;
  /** A response that matches the schema arrived. */
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

// Longer than the edge's timeout (8 s), so that its response arrives before this timeout.
const defaultRequestTimeoutMs = 12_000;
// A killed service is back within seconds, and its circuit breaker closes some seconds later.
const defaultRetryForMs = 60_000;
const firstPauseMs = 150;
const pauseMsMax = 3_000;

type Attempt<T> =
  | { kind: 'answered'; value: T }
  | { kind: 'refused'; failure: FailedReply }
  | { kind: 'outage'; failure: FailedReply; retryAfterMs: number };

/** HTTP as a well-behaved client uses it: parses problem details, retries during outages and checks responses. */
export function createApiTransport(options: ApiTransportDeps): ApiTransport {
  const { clock, random, tally } = options;
  const requestTimeoutMs = options.requestTimeoutMs ?? defaultRequestTimeoutMs;

  return {
    async send(call) {
      options.observer?.onSent(call);
      const retryUntilMs = clock.nowMs() + (call.retryForMs ?? options.retryForMs ?? defaultRetryForMs);
      let isOutcomeUnknown = false;
      let pauseMs = firstPauseMs;
      for (;;) {
        const attempt = await attemptOnce(call);
        if (attempt.kind === 'answered') {
          options.observer?.onAnswered(call, attempt.value);
          return { ok: true, value: attempt.value };
        }
        const failure: FailedReply = { ...attempt.failure, isOutcomeUnknown };
        if (attempt.kind === 'refused' || clock.nowMs() >= retryUntilMs) return failure;
        // A request with 429 was certainly not applied; after any other outage it may have been.
        isOutcomeUnknown ||= failure.status !== 429;
        tally.retried++;
        await clock.sleep(Math.max(attempt.retryAfterMs, pauseMs) * (1 + random.next() / 2), call.signal);
        pauseMs = Math.min(pauseMsMax, pauseMs * 2);
      }
    },
  };

  async function attemptOnce<S extends TSchema>(call: ApiCall<S>): Promise<Attempt<Static<S>>> {
    if (call.signal.aborted) return failed('city.closed', null, 'the city has closed');
    const deadline = new AbortController();
    const stop = () => deadline.abort();
    const timer = setTimeout(stop, requestTimeoutMs);
    call.signal.addEventListener('abort', stop, { once: true });
    try {
      const response = await fetch(`${options.baseUrl}${call.path}`, {
        ...requestOf(call),
        signal: deadline.signal,
      });
      return parseResponse(call, response, await response.text());
    } catch (error) {
      if (call.signal.aborted) return failed('city.closed', null, 'the city has closed');
      const code = deadline.signal.aborted ? 'network.timeout' : 'network.unreachable';
      return outage(code, null, error instanceof Error ? error.message : String(error), 0);
    } finally {
      clearTimeout(timer);
      call.signal.removeEventListener('abort', stop);
    }
  }
}

function requestOf(call: ApiCall<TSchema>): RequestInit {
  const requestHeaders = new Headers({ accept: 'application/json' });
  if (call.token !== undefined) requestHeaders.set('authorization', `Bearer ${call.token}`);
  if (call.idempotencyKey !== undefined) requestHeaders.set(headers.idempotencyKey, call.idempotencyKey);
  if (call.body === undefined) return { method: call.method, headers: requestHeaders };
  requestHeaders.set('content-type', 'application/json');
  return { method: call.method, headers: requestHeaders, body: JSON.stringify(call.body) };
}

const problemSchema = compileSchema(ProblemDetails);
const outageStatuses = new Set([429, 502, 503, 504]);

function parseResponse<S extends TSchema>(
  call: ApiCall<S>,
  response: Response,
  text: string,
): Attempt<Static<S>> {
  const body = parse(text);
  if (response.ok) {
    if (call.responseSchema.Check(body)) return { kind: 'answered', value: body };
    const [first] = call.responseSchema.Errors(body);
    const where = `${call.method} ${call.path} answered ${response.status} with an unexpected body`;
    return failed('answer.unexpected', response.status, `${where}: ${first?.path} ${first?.message}`);
  }
  const problem = problemSchema.Check(body) ? body : undefined;
  const code = problem?.code ?? `http.${response.status}`;
  const detail = problem?.detail ?? problem?.title ?? text.slice(0, 200);
  if (!outageStatuses.has(response.status)) return failed(code, response.status, detail);
  return outage(code, response.status, detail, Number(response.headers.get('retry-after') ?? 0) * 1000 || 0);
}

/** Returns undefined for an empty or invalid text. */
function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

const failed = (code: string, status: number | null, detail: string) =>
  ({ kind: 'refused', failure: { ok: false, code, status, detail, isOutcomeUnknown: false } }) as const;

const outage = (code: string, status: number | null, detail: string, retryAfterMs: number) =>
  ({
    kind: 'outage',
    failure: { ok: false, code, status, detail, isOutcomeUnknown: false },
    retryAfterMs,
  }) as const;
