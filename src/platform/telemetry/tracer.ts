import type { TraceId } from './trace-id.ts';
import type { SpanContext } from './traceparent.ts';

export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** What a span may hold. Everything beyond it is cut off or dropped. */
export const spanLimits = {
  nameLengthMax: 120,
  attributesMax: 24,
  attributeLengthMax: 256,
  linksMax: 32,
} as const;

export interface SpanOptions {
  kind?: SpanKind;
  /** The service that does the work; that of the parent by default. One process may run several services. */
  service?: string;
  attributes?: Attributes;
  /** Spans that caused this one without being its parent, such as the requests of a group. */
  links?: readonly SpanContext[];
  /** Unix milliseconds; now by default. */
  startedAtMs?: number;
}

/** A unit of work of a sampled trace. One that is never ended is never exported, and holds no memory. */
export interface Span {
  readonly context: SpanContext;
  readonly service: string;
  /** Ignored after the end. Undefined values are left out. */
  setAttributes(attributes: Attributes): void;
  /** Marks the span as failed. Keeps only the kind of the error, because messages may hold secrets. */
  recordError(error: unknown): void;
  /** Starts a span inside this one. */
  startChild(name: string, options?: SpanOptions): Span;
  /** Ends the span. Only the first call counts. */
  end(): void;
}

export interface Tracer {
  /** Whether anything is exported. */
  readonly isEnabled: boolean;
  /** Whether the trace of a request is kept. It is read off the request id, before anything is built. */
  isSampled(requestId: string, traffic: Traffic): boolean;
  /** Begins a trace. Only the edge does this. */
  startTrace(traceId: TraceId, name: string, options: SpanOptions & { service: string }): Span;
  /** Continues a sampled trace from another process, or from an event. */
  continueTrace(parent: SpanContext, name: string, options: SpanOptions & { service: string }): Span;
  /** Exports what has ended, for at most a second. */
  shutdown(): Promise<void>;
}

/** Positions are nine of ten requests, so fewer of them are sampled. */
export type Traffic = 'position' | 'other';

/** Samples nothing. The default, and what simulations use. */
export const noopTracer: Tracer = {
  isEnabled: false,
  isSampled: () => false,
  startTrace: () => noopSpan,
  continueTrace: () => noopSpan,
  shutdown: async () => undefined,
};

const noopSpan: Span = {
  context: { traceId: '', spanId: '', isSampled: false },
  service: '',
  setAttributes: () => undefined,
  recordError: () => undefined,
  startChild: () => noopSpan,
  end: () => undefined,
};
