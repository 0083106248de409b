import { describe, expect, test } from 'bun:test';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { problem } from '../problems.ts';
import { createSeededRandom } from '../random.ts';
import {
  currentTrace,
  currentTraceparent,
  runInSpan,
  runInTrace,
  runOutsideTraces,
  startChildSpan,
  withChildSpan,
} from './context.ts';
import { createSdkTracer } from './sdk-tracer.ts';
import { noopTracer, type Span, spanLimits } from './tracer.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';

function createTestTracer() {
  const spans: ReadableSpan[] = [];
  const tracer = createSdkTracer({
    exporter: { add: (span) => spans.push(span), shutdown: async () => undefined },
    random: createSeededRandom(1),
    version: 'test',
    sampleBasisPoints: 10_000,
    positionSampleBasisPoints: 0,
  });
  return { tracer, spans, start: (): Span => tracer.startTrace(traceId, 'root', { service: 'gateway' }) };
}

describe('a trace', () => {
  test('has the given id, and each span names its parent and its service', () => {
    const { tracer, spans, start } = createTestTracer();
    const root = start();
    const child = root.startChild('call', { kind: 'client' });
    const remote = tracer.continueTrace(child.context, 'serve', { kind: 'server', service: 'trip' });
    remote.end();
    child.end();
    root.end();
    expect(spans.map(({ name }) => name)).toEqual(['serve', 'call', 'root']);
    expect(new Set(spans.map((span) => span.spanContext().traceId))).toEqual(new Set([traceId]));
    expect(spans.map((span) => span.parentSpanContext?.spanId)).toEqual([
      child.context.spanId,
      root.context.spanId,
      undefined,
    ]);
    expect(spans.map(({ resource }) => resource.attributes['service.name'])).toEqual([
      'trip',
      'gateway',
      'gateway',
    ]);
  });

  test('keeps its service in the spans inside a span of another process', () => {
    const { tracer, spans } = createTestTracer();
    const parent = { traceId, spanId: 'b7ad6b7169203331', isSampled: true };
    tracer.continueTrace(parent, 'serve', { service: 'payment' }).startChild('select').end();
    expect(spans[0]?.resource.attributes['service.name']).toBe('payment');
  });

  test('samples positions and other requests by their own shares', () => {
    const { tracer } = createTestTracer();
    const requestId = '019ad3c2-9b1e-7c55-8a30-5d1e2f3a4b5c';
    expect(tracer.isSampled(requestId, 'other')).toBe(true);
    expect(tracer.isSampled(requestId, 'position')).toBe(false);
  });
});

describe('a span', () => {
  test('is exported once, however often it is ended, and ignores what comes after its end', () => {
    const { spans, start } = createTestTracer();
    const span = start();
    span.end();
    span.setAttributes({ late: true });
    span.recordError(new Error('late'));
    span.end();
    expect(spans).toHaveLength(1);
    expect(spans[0]?.attributes).toEqual({});
  });

  test('that is never ended is never exported', () => {
    const { spans, start } = createTestTracer();
    for (let count = 0; count < 1_000; count++) start();
    expect(spans).toEqual([]);
  });

  test('bounds its name, its attributes and its links', () => {
    const { spans, start } = createTestTracer();
    const links = Array.from({ length: 10_000 }, () => ({
      traceId,
      spanId: 'b7ad6b7169203331',
      isSampled: true,
    }));
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`key${at}`, at]));
    const span = start().startChild('n'.repeat(1_000_000), {
      attributes: { large: 'a'.repeat(1_000_000), ['k'.repeat(1_000_000)]: 1, ...many },
      links,
    });
    span.setAttributes(many);
    span.setAttributes({ key0: 'b'.repeat(1_000_000) });
    span.end();
    const [ended] = spans;
    expect(ended?.name).toHaveLength(spanLimits.nameLengthMax);
    expect(ended?.links).toHaveLength(spanLimits.linksMax);
    expect(Object.keys(ended?.attributes ?? {})).toHaveLength(spanLimits.attributesMax);
    for (const [key, value] of Object.entries(ended?.attributes ?? {})) {
      expect(key.length).toBeLessThanOrEqual(spanLimits.nameLengthMax);
      expect(String(value).length).toBeLessThanOrEqual(spanLimits.attributeLengthMax);
    }
  });

  test('keeps the code of an error and never its message', () => {
    const { spans, start } = createTestTracer();
    const errors = [
      problem('service.unavailable', { detail: 'secret' }),
      Object.assign(new Error('token abc'), { code: 'ECONNRESET' }),
      new TypeError('password'),
      Object.assign(new Error('x'), { name: 'Bearer abc def' }),
      'thrown text with a token',
    ];
    for (const error of errors) {
      const span = start();
      span.recordError(error);
      span.end();
    }
    expect(spans.map(({ attributes }) => attributes['error.type'])).toEqual([
      'service.unavailable',
      'ECONNRESET',
      'TypeError',
      'Error',
      'string',
    ]);
    expect(spans.every(({ status, events }) => status.message === undefined && events.length === 0)).toBe(
      true,
    );
  });

  test('has a duration that is never negative, also when the clock is set back', () => {
    const { spans, start } = createTestTracer();
    const realNow = Date.now;
    try {
      const span = start();
      Date.now = () => realNow() - 3_600_000;
      span.end();
    } finally {
      Date.now = realNow;
    }
    expect(spans[0]?.duration[0]).toBe(0);
    expect(spans[0]?.duration[1]).toBeGreaterThanOrEqual(0);
  });
});

describe('the context of the running code', () => {
  test('follows promises, timers and microtasks, and is separate for concurrent requests', async () => {
    const { start } = createTestTracer();
    const seen = await Promise.all(
      ['a', 'b', 'c'].map((id) =>
        runInTrace({ traceId: id, span: start() }, async () => {
          await Bun.sleep(1);
          await new Promise<void>((resolve) => queueMicrotask(resolve));
          await new Promise((resolve) => setTimeout(resolve, 1));
          return currentTrace()?.traceId;
        }),
      ),
    );
    expect(seen).toEqual(['a', 'b', 'c']);
    expect(currentTrace()).toBeUndefined();
  });

  test('can be left for work that outlives its caller', () => {
    const left = runInTrace({ traceId, span: undefined }, () => runOutsideTraces(currentTrace));
    expect(left).toBeUndefined();
  });

  test('gives the span inside it to work that returns, resolves, throws or rejects, and ends it each time', async () => {
    const { spans, start } = createTestTracer();
    const root = start();
    await runInTrace({ traceId, span: root }, async () => {
      expect(withChildSpan('sync', undefined, () => currentTrace()?.span?.context.spanId)).not.toBe(
        root.context.spanId,
      );
      expect(await withChildSpan('async', undefined, async () => 1)).toBe(1);
      const fail = () => {
        throw new RangeError('no');
      };
      expect(() => withChildSpan('throws', undefined, fail)).toThrow('no');
      await expect(withChildSpan('rejects', undefined, async () => fail())).rejects.toThrow('no');
    });
    expect(spans.map(({ name, attributes }) => [name, attributes['error.type']])).toEqual([
      ['sync', undefined],
      ['async', undefined],
      ['throws', 'RangeError'],
      ['rejects', 'RangeError'],
    ]);
    expect(spans.every(({ parentSpanContext }) => parentSpanContext?.spanId === root.context.spanId)).toBe(
      true,
    );
  });

  test('builds no span outside of a trace and in one that is not sampled', () => {
    expect(startChildSpan('none')).toBeUndefined();
    expect(currentTraceparent()).toBeUndefined();
    runInTrace({ traceId, span: undefined }, () => {
      expect(startChildSpan('none')).toBeUndefined();
      expect(withChildSpan('none', undefined, (span) => span)).toBeUndefined();
      expect(currentTraceparent()).toBe(`00-${traceId}-8448eb211c80319c-00`);
    });
  });

  test('tells what leaves the process which span it belongs to', () => {
    const { start } = createTestTracer();
    const span = start();
    expect(runInSpan(span, currentTraceparent)).toBe(`00-${traceId}-${span.context.spanId}-01`);
  });
});

test('the tracer that samples nothing accepts everything', async () => {
  const span = noopTracer.startTrace(traceId, 'none', { service: 'trip' });
  span.startChild('none').setAttributes({ a: 1 });
  span.recordError(new Error('none'));
  span.end();
  await noopTracer.shutdown();
  expect(noopTracer.isSampled('019ad3c2-9b1e-7c55-8a30-5d1e2f3a4b5c', 'other')).toBe(false);
});
