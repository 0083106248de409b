import { JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { errorKindOf } from './error-kind.ts';
import type { SpanExporter } from './exporter.ts';
import { createSpanQueue } from './span-queue.ts';

export interface OtlpExporterOptions {
  /** Where OTLP/HTTP is received, with the path: `http://127.0.0.1:4318/v1/traces`. */
  url: string;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  limits?: Partial<ExporterLimits>;
}

export interface ExporterLimits {
  /** Memory of the spans that wait, as estimated. Spans beyond it are dropped. */
  queueBytesMax: number;
  batchBytesMax: number;
  /** How long spans are collected before they are sent. */
  delayMs: number;
  /** How long one request may take. */
  requestTimeoutMs: number;
  /** How often one batch is sent before it is dropped. */
  attemptsMax: number;
  pauseMsMin: number;
  pauseMsMax: number;
  shutdownMs: number;
}

const limitsDefault: ExporterLimits = {
  queueBytesMax: 8 * 1024 * 1024,
  batchBytesMax: 512 * 1024,
  delayMs: 1_000,
  requestTimeoutMs: 5_000,
  attemptsMax: 3,
  pauseMsMin: 1_000,
  pauseMsMax: 30_000,
  shutdownMs: 1_000,
};

type SendOutcome = { kind: 'sent' } | { kind: 'retry'; afterMs: number | undefined } | { kind: 'refused' };

/**
 * Exports spans as OTLP/HTTP in JSON. One request is in flight at a time, so a receiver that is slow or unavailable
 * costs one connection and at most `queueBytesMax` of memory; what does not fit is dropped and counted.
 *
 * States: idle → collecting (`delayMs`) → sending → collecting …; sending → pausing (the receiver is unavailable or
 * asked for it) → sending; `shutdown` ends it in any state.
 */
export function createOtlpExporter({
  url,
  clock,
  log,
  metrics,
  ...options
}: OtlpExporterOptions): SpanExporter {
  const limits = { ...limitsDefault, ...options.limits };
  const queue = createSpanQueue(limits.queueBytesMax);
  // Ends pauses and the collecting of spans; requests in flight may go on for `shutdownMs`.
  const stopping = new AbortController();
  const aborted = new AbortController();
  let running: Promise<void> | undefined;
  let isFailing = false;
  metrics.gauge('trace_queue_bytes', queue.bytes);

  return {
    add(span) {
      if (stopping.signal.aborted || !queue.push(span)) return countDropped(1, 'queue_full');
      running ??= run();
    },
    async shutdown() {
      if (stopping.signal.aborted) return;
      stopping.abort();
      const finished = new AbortController();
      const inTime = (running ?? Promise.resolve()).then(() => finished.abort());
      await Promise.race([inTime, clock.sleep(limits.shutdownMs, finished.signal)]);
      aborted.abort();
      const left = queue.length();
      if (left > 0) countDropped(left, 'shutdown');
    },
  };

  async function run(): Promise<void> {
    while (queue.length() > 0 && !aborted.signal.aborted) {
      await clock.sleep(limits.delayMs, stopping.signal);
      while (queue.length() > 0 && !aborted.signal.aborted)
        await sendBatch(queue.takeBatch(limits.batchBytesMax));
    }
    running = undefined;
  }

  async function sendBatch(batch: ReadableSpan[]): Promise<void> {
    const body = serialize(batch, log);
    for (let attempt = 1; body !== undefined; attempt++) {
      const outcome = await send(body);
      if (outcome.kind === 'sent') {
        metrics.count('trace_spans_exported_total', {}, batch.length);
        return setFailing(false);
      }
      setFailing(true);
      if (outcome.kind === 'refused') return countDropped(batch.length, 'refused');
      if (attempt >= limits.attemptsMax || stopping.signal.aborted) break;
      const pauseMs = outcome.afterMs ?? limits.pauseMsMin * 2 ** (attempt - 1);
      await clock.sleep(Math.min(Math.max(pauseMs, limits.pauseMsMin), limits.pauseMsMax), stopping.signal);
    }
    countDropped(batch.length, body === undefined ? 'refused' : 'unavailable');
  }

  async function send(body: Uint8Array<ArrayBuffer>): Promise<SendOutcome> {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        // A redirect could lead anywhere, with everything that the spans hold.
        redirect: 'manual',
        signal: AbortSignal.any([aborted.signal, AbortSignal.timeout(limits.requestTimeoutMs)]),
      });
      // Nothing in the body is needed, and it may never end.
      await response.body?.cancel();
      if (response.ok) return { kind: 'sent' };
      if (!retryableStatuses.has(response.status)) return { kind: 'refused' };
      return {
        kind: 'retry',
        afterMs: parseRetryAfterMs(response.headers.get('retry-after'), clock.nowMs()),
      };
    } catch (error) {
      if (!isFailing) log.debug({ reason: errorKindOf(error) }, 'failed to send spans');
      return { kind: 'retry', afterMs: undefined };
    }
  }

  /** Logs when exporting begins to fail and when it works again, and not each time in between. */
  function setFailing(failing: boolean): void {
    if (failing === isFailing) return;
    isFailing = failing;
    if (failing) log.warn({}, 'traces cannot be exported, spans may be dropped');
    else log.info({}, 'traces are exported again');
  }

  function countDropped(count: number, reason: string): void {
    metrics.count('trace_spans_dropped_total', { reason }, count);
  }
}

function serialize(batch: ReadableSpan[], log: Log): Uint8Array<ArrayBuffer> | undefined {
  try {
    const body = JsonTraceSerializer.serializeRequest(batch);
    return body === undefined ? undefined : new Uint8Array(body);
  } catch (error) {
    log.error({ err: error }, 'failed to serialize spans');
    return undefined;
  }
}

// As OTLP/HTTP defines them.
const retryableStatuses: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const secondsPattern = /^\d{1,9}$/;
const datePattern = /^[A-Z][a-z]{2}, .{1,30} GMT$/;

/** The header's seconds or date as milliseconds from now; undefined when it is absent or invalid. */
export function parseRetryAfterMs(text: string | null, nowMs: number): number | undefined {
  if (text === null) return undefined;
  if (secondsPattern.test(text)) return Number(text) * 1_000;
  const atMs = datePattern.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
