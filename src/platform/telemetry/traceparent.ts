import type { TraceId } from './trace-id.ts';

/** What crosses a boundary of a trace: the span that the next one belongs to. */
export interface SpanContext {
  traceId: TraceId;
  /** 8 bytes as 16 lower-case hexadecimal digits. */
  spanId: string;
  isSampled: boolean;
}

// Version 00 of W3C Trace Context. A later version may have more fields, which are not forwarded.
const pattern = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const textLengthMax = 512;
const invalidVersion = 'ff';
const sampledFlag = 1;
const onlyZeros = /^0+$/;

/** Parses a `traceparent` header strictly. Returns undefined for one that is invalid, or that was sent twice. */
export function parseTraceparent(text: unknown): SpanContext | undefined {
  if (typeof text !== 'string' || text.length > textLengthMax) return undefined;
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, version = '', traceId = '', spanId = '', flags = '', more] = match;
  if (version === invalidVersion || (version === '00' && more !== undefined)) return undefined;
  if (onlyZeros.test(traceId) || onlyZeros.test(spanId)) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & sampledFlag) === sampledFlag };
}

export const formatTraceparent = ({ traceId, spanId, isSampled }: SpanContext): string =>
  `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;

/**
 * The traceparent of a trace that is not sampled, so that its log lines can still be found. No span exists: the span
 * id is the end of the trace id, which is not zero.
 */
export const formatUnsampledTraceparent = (traceId: TraceId): string =>
  `00-${traceId}-${traceId.slice(16)}-00`;
