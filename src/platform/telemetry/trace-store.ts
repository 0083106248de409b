import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

/** A span as the store answers it. Times are Unix milliseconds. */
export interface StoredSpan {
  name: string;
  service: string;
  spanId: string;
  /** Null for the first span of a trace. */
  parentId: string | null;
  kind: string;
  startedAt: number;
  endedAt: number;
  isError: boolean;
  attributes: Record<string, string | number | boolean>;
  links: { traceId: string; spanId: string }[];
}

/** Keeps the newest traces in memory, for development. */
export interface TraceStore {
  /** Adds the spans of an OTLP request in JSON. Returns false when it is not one. */
  addOtlp(request: unknown): boolean;
  /** The spans of a trace by the time of their start; empty when none is kept. */
  find(traceId: string): StoredSpan[];
  bytes(): number;
}

const attributeSchema = Type.Object({
  key: Type.String(),
  value: Type.Object({
    stringValue: Type.Optional(Type.String()),
    boolValue: Type.Optional(Type.Boolean()),
    intValue: Type.Optional(Type.Union([Type.Number(), Type.String()])),
    doubleValue: Type.Optional(Type.Number()),
  }),
});
const hexId = (digits: number) => Type.RegExp(new RegExp(`^[\\da-f]{${digits}}$`));
const nanoseconds = Type.Union([Type.RegExp(/^\d{1,20}$/), Type.Number()]);
const spanSchema = Type.Object({
  traceId: hexId(32),
  spanId: hexId(16),
  parentSpanId: Type.Optional(Type.String()),
  name: Type.String(),
  kind: Type.Optional(Type.Number()),
  startTimeUnixNano: nanoseconds,
  endTimeUnixNano: nanoseconds,
  attributes: Type.Optional(Type.Array(attributeSchema)),
  links: Type.Optional(Type.Array(Type.Object({ traceId: Type.String(), spanId: Type.String() }))),
  status: Type.Optional(Type.Object({ code: Type.Optional(Type.Number()) })),
});
const otlpSchema = Type.Object({
  resourceSpans: Type.Array(
    Type.Object({
      resource: Type.Optional(Type.Object({ attributes: Type.Optional(Type.Array(attributeSchema)) })),
      scopeSpans: Type.Array(Type.Object({ spans: Type.Array(spanSchema) })),
    }),
  ),
});

export const traceStoreBytesMax = 32 * 1024 * 1024;
// A trace that grows without end must not displace all others.
const spansPerTraceMax = 2_000;

interface StoredTrace {
  spans: StoredSpan[];
  bytes: number;
}

export function createTraceStore(bytesMax = traceStoreBytesMax): TraceStore {
  // In the order of their last span, oldest first.
  const traces = new Map<string, StoredTrace>();
  let bytes = 0;

  return {
    addOtlp(request) {
      if (!Value.Check(otlpSchema, request)) return false;
      for (const { resource, scopeSpans } of request.resourceSpans) {
        const service = String(readAttributes(resource?.attributes)['service.name'] ?? 'unknown');
        for (const { spans } of scopeSpans)
          for (const span of spans) add(span.traceId, toStored(span, service));
      }
      return true;
    },
    find: (traceId) => sortSpans(traces.get(traceId)?.spans ?? []),
    bytes: () => bytes,
  };

  function add(traceId: string, span: StoredSpan): void {
    const trace = traces.get(traceId) ?? { spans: [], bytes: 0 };
    if (trace.spans.length >= spansPerTraceMax) return;
    const size = sizeOf(span);
    trace.spans.push(span);
    trace.bytes += size;
    bytes += size;
    traces.delete(traceId);
    traces.set(traceId, trace);
    evict();
  }

  function evict(): void {
    for (const [traceId, trace] of traces) {
      if (bytes <= bytesMax) return;
      traces.delete(traceId);
      bytes -= trace.bytes;
    }
  }
}

/** By the time of their start. Parents come before children that started in the same millisecond. */
function sortSpans(spans: readonly StoredSpan[]): StoredSpan[] {
  const parentOf = new Map(spans.map(({ spanId, parentId }) => [spanId, parentId]));
  const depthOf = ({ spanId }: StoredSpan): number => {
    let depth = 0;
    for (let at = parentOf.get(spanId); at && depth < spans.length; at = parentOf.get(at)) depth++;
    return depth;
  };
  const depths = new Map(spans.map((span) => [span, depthOf(span)]));
  return spans.toSorted((a, b) => a.startedAt - b.startedAt || (depths.get(a) ?? 0) - (depths.get(b) ?? 0));
}

const kindNames = ['internal', 'internal', 'server', 'client', 'producer', 'consumer'];
const errorStatus = 2;

function toStored(span: Static<typeof spanSchema>, service: string): StoredSpan {
  return {
    name: span.name,
    service,
    spanId: span.spanId,
    parentId: span.parentSpanId || null,
    kind: kindNames[span.kind ?? 0] ?? 'internal',
    startedAt: millisecondsOf(span.startTimeUnixNano),
    endedAt: millisecondsOf(span.endTimeUnixNano),
    isError: span.status?.code === errorStatus,
    attributes: readAttributes(span.attributes),
    links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
  };
}

const nanosecondsPerMicrosecond = 1_000n;
const millisecondsOf = (nanoseconds: string | number): number =>
  Number(BigInt(nanoseconds) / nanosecondsPerMicrosecond) / 1_000;

function readAttributes(list: readonly Static<typeof attributeSchema>[] = []): StoredSpan['attributes'] {
  const attributes: StoredSpan['attributes'] = {};
  for (const { key, value } of list) {
    const { stringValue, boolValue, intValue, doubleValue } = value;
    attributes[key] = stringValue ?? boolValue ?? doubleValue ?? Number(intValue ?? 0);
  }
  return attributes;
}

const spanBytes = 400;
/** About what a span takes in memory: two bytes a character, and its objects. */
const sizeOf = (span: StoredSpan): number => spanBytes + 2 * JSON.stringify(span).length;
