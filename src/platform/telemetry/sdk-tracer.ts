import type { Span as ApiSpan, Tracer as ApiTracer } from '@opentelemetry/api';
import {
  type Attributes as ApiAttributes,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOnSampler,
  type ReadableSpan,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Random } from '../random.ts';
import { errorKindOf } from './error-kind.ts';
import type { SpanExporter } from './exporter.ts';
import { createRequestSampler, type TraceId } from './trace-id.ts';
import type { SpanContext } from './traceparent.ts';
import { type Attributes, type Span, type SpanOptions, spanLimits, type Tracer } from './tracer.ts';

export interface SdkTracerOptions {
  exporter: SpanExporter;
  random: Random;
  version: string;
  /** Shares of the traces that are kept, in basis points (10,000 are all). */
  sampleBasisPoints: number;
  positionSampleBasisPoints: number;
}

/**
 * The tracer on the OpenTelemetry SDK: 3 to 4 µs for a span with three attributes, and as much to export it. Its own
 * sampler, context manager and batch processor are not used. A trace is sampled before a span is built, and the
 * exporter is bounded in bytes.
 */
export function createSdkTracer(options: SdkTracerOptions): Tracer {
  const { exporter, random, version } = options;
  const isPositionSampled = createRequestSampler(options.positionSampleBasisPoints);
  const isOtherSampled = createRequestSampler(options.sampleBasisPoints);
  const tracers = new Map<string, ApiTracer>();
  // The SDK asks for a trace id while it starts a root span, and never at another time.
  let nextTraceId: TraceId = '';
  const idGenerator = {
    generateTraceId: () => nextTraceId,
    generateSpanId: () => createSpanId(random),
  };
  const processor: SpanProcessor = {
    onStart: () => undefined,
    onEnd: (span: ReadableSpan) => exporter.add(span),
    forceFlush: async () => undefined,
    shutdown: async () => undefined,
  };

  return {
    isEnabled: true,
    isSampled: (requestId, traffic) =>
      traffic === 'position' ? isPositionSampled(requestId) : isOtherSampled(requestId),
    startTrace(traceId, name, spanOptions) {
      nextTraceId = traceId;
      return start(undefined, name, spanOptions);
    },
    continueTrace: start,
    shutdown: () => exporter.shutdown(),
  };

  /** A process has one service, or the six of this repository, so the providers are bounded. */
  function tracerOf(service: string): ApiTracer {
    const known = tracers.get(service);
    if (known !== undefined) return known;
    const tracer = new TracerProvider({
      resource: resourceFromAttributes({
        'service.name': service,
        'service.namespace': 'uit-go',
        'service.version': version,
      }),
      idGenerator,
      sampler: new AlwaysOnSampler(),
      spanProcessors: [processor],
      spanLimits: sdkSpanLimits,
    }).getTracer('uit-go');
    tracers.set(service, tracer);
    return tracer;
  }

  function start(
    parent: SpanContext | undefined,
    name: string,
    {
      kind = 'internal',
      service,
      attributes = {},
      links = [],
      startedAtMs,
    }: SpanOptions & { service: string },
  ): Span {
    const context =
      parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, toApiContext(parent));
    const span = tracerOf(service).startSpan(
      cutText(name, spanLimits.nameLengthMax),
      {
        kind: kinds[kind],
        attributes: boundAttributes(attributes),
        links: links.slice(0, spanLimits.linksMax).map((link) => ({ context: toApiContext(link) })),
        ...(startedAtMs === undefined ? {} : { startTime: startedAtMs }),
      },
      context,
    );
    return wrap(span, service);
  }

  function wrap(span: ApiSpan, service: string): Span {
    const { traceId, spanId } = span.spanContext();
    const context: SpanContext = { traceId, spanId, isSampled: true };
    let hasEnded = false;
    return {
      context,
      service,
      setAttributes(attributes) {
        if (!hasEnded) span.setAttributes(boundAttributes(attributes));
      },
      recordError(error) {
        if (hasEnded) return;
        span.setAttribute('error.type', errorKindOf(error));
        span.setStatus({ code: SpanStatusCode.ERROR });
      },
      startChild: (name, childOptions = {}) => start(context, name, { service, ...childOptions }),
      end() {
        if (hasEnded) return;
        hasEnded = true;
        span.end();
      },
    };
  }
}

const sdkSpanLimits = {
  attributeCountLimit: spanLimits.attributesMax,
  attributeValueLengthLimit: spanLimits.attributeLengthMax,
  linkCountLimit: spanLimits.linksMax,
  eventCountLimit: 0,
};

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

const sampledFlags = 1;
const spanIdBytes = 8;

const toApiContext = ({ traceId, spanId }: SpanContext) => ({
  traceId,
  spanId,
  traceFlags: sampledFlags,
  isRemote: true,
});

/** A span id is 8 random bytes that are not all zero. */
function createSpanId(random: Random): string {
  const bytes = random.bytes(spanIdBytes);
  bytes[0] = (bytes[0] ?? 0) | 1;
  return Buffer.from(bytes).toString('hex');
}

function boundAttributes(attributes: Attributes): ApiAttributes {
  const bounded: ApiAttributes = {};
  let count = 0;
  for (const key in attributes) {
    const value = attributes[key];
    if (value === undefined) continue;
    if (++count > spanLimits.attributesMax) break;
    bounded[cutText(key, spanLimits.nameLengthMax)] =
      typeof value === 'string' ? cutText(value, spanLimits.attributeLengthMax) : value;
  }
  return bounded;
}

/** Copies what it keeps: a slice would hold the whole text in memory, for as long as the span waits for its export. */
const cutText = (text: string, lengthMax: number): string =>
  text.length <= lengthMax ? text : Buffer.from(text.slice(0, lengthMax)).toString();
