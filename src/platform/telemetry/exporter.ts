import type { ReadableSpan } from '@opentelemetry/sdk-trace';

/** Takes ended spans. It never blocks its caller, never throws, and drops what it has no room for. */
export interface SpanExporter {
  add(span: ReadableSpan): void;
  /** Exports what waits, for at most a second, and drops the rest. */
  shutdown(): Promise<void>;
}
