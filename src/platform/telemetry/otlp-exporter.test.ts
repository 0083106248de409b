import { afterEach, describe, expect, test } from 'bun:test';
import { until } from '@testing/until.ts';
import { systemClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { systemRandom } from '../random.ts';
import { createOtlpExporter, type ExporterLimits, parseRetryAfterMs } from './otlp-exporter.ts';
import { createSdkTracer } from './sdk-tracer.ts';
import { createTraceStore } from './trace-store.ts';
import type { Tracer } from './tracer.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const fast: Partial<ExporterLimits> = { delayMs: 5, pauseMsMin: 10, pauseMsMax: 50, requestTimeoutMs: 200 };
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function receive(handle: (request: Request) => Response | Promise<Response>): string {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: handle });
  cleanups.push(() => server.stop(true));
  return `http://127.0.0.1:${server.port}/v1/traces`;
}

function exportTo(url: string, limits: Partial<ExporterLimits> = fast) {
  const metrics = createMetrics();
  const exporter = createOtlpExporter({ url, clock: systemClock, log: createLog('silent'), metrics, limits });
  const shares = { sampleBasisPoints: 10_000, positionSampleBasisPoints: 10_000 };
  const tracer = createSdkTracer({ exporter, random: systemRandom, version: 'test', ...shares });
  cleanups.push(() => tracer.shutdown());
  return { tracer, metrics };
}

function emit(tracer: Tracer, count = 1): void {
  for (let at = 0; at < count; at++) tracer.startTrace(traceId, `span ${at}`, { service: 'trip' }).end();
}

const dropped = (metrics: Metrics, reason: string): number =>
  Number(
    metrics
      .text()
      .split('\n')
      .find((line) => line.startsWith(`trace_spans_dropped_total{reason="${reason}"} `))
      ?.split(' ')[1] ?? 0,
  );

describe('spans that end', () => {
  test('arrive as OTLP that the trace store understands', async () => {
    const store = createTraceStore();
    const url = receive(
      async (request) => new Response(null, { status: store.addOtlp(await request.json()) ? 200 : 400 }),
    );
    const { tracer } = exportTo(url);
    const root = tracer.startTrace(traceId, 'POST /v1/trips', { kind: 'server', service: 'gateway' });
    const child = tracer.continueTrace(root.context, 'insert', {
      kind: 'client',
      service: 'trip',
      attributes: { 'db.system.name': 'postgresql', rows: 2, isLate: false },
    });
    child.recordError(new TypeError('secret'));
    child.end();
    root.end();
    await until(() => store.find(traceId).length === 2);
    const spans = store.find(traceId);
    expect(spans.map(({ name, service, kind }) => [name, service, kind])).toEqual([
      ['POST /v1/trips', 'gateway', 'server'],
      ['insert', 'trip', 'client'],
    ]);
    expect(spans[0]?.parentId).toBeNull();
    expect(spans[1]?.parentId).toBe(root.context.spanId);
    expect(spans[1]?.isError).toBe(true);
    expect(spans[1]?.attributes).toEqual({
      'db.system.name': 'postgresql',
      rows: 2,
      isLate: false,
      'error.type': 'TypeError',
    });
    expect(JSON.stringify(spans)).not.toContain('secret');
  });

  test('are sent in one request at a time, in batches of bounded size', async () => {
    let open = 0;
    let openMax = 0;
    let spans = 0;
    const url = receive(async (request) => {
      openMax = Math.max(openMax, ++open);
      const body = await request.text();
      expect(body.length).toBeLessThan(64 * 1024);
      spans += body.split('"spanId"').length - 1;
      await Bun.sleep(5);
      open--;
      return new Response();
    });
    const { tracer } = exportTo(url, { ...fast, batchBytesMax: 64 * 1024 });
    emit(tracer, 500);
    await until(() => spans === 500);
    expect(openMax).toBe(1);
  });
});

describe('a receiver that fails', () => {
  test('by accepting and never answering costs bounded memory, and what does not fit is counted', async () => {
    let requests = 0;
    const url = receive(() => {
      requests++;
      return new Promise(() => undefined);
    });
    const { tracer, metrics } = exportTo(url, { ...fast, queueBytesMax: 100_000, batchBytesMax: 20_000 });
    for (let round = 0; round < 20; round++) {
      emit(tracer, 500);
      await Bun.sleep(5);
    }
    expect(dropped(metrics, 'queue_full')).toBeGreaterThan(9_000);
    const queued = Number(/trace_queue_bytes (\d+)/.exec(metrics.text())?.[1]);
    expect(queued).toBeLessThanOrEqual(100_000);
    await until(() => dropped(metrics, 'unavailable') > 0, { timeoutMs: 5_000 });
    expect(requests).toBeLessThan(10);
  });

  test('by refusing connections is tried a few times, then the batch is dropped', async () => {
    const { tracer, metrics } = exportTo('http://127.0.0.1:1/v1/traces');
    emit(tracer, 3);
    await until(() => dropped(metrics, 'unavailable') === 3);
  });

  test('by answering 429 is left alone for as long as it asks, and gets the batch again', async () => {
    const times: number[] = [];
    const url = receive(() => {
      times.push(performance.now());
      return times.length === 1
        ? new Response(null, { status: 429, headers: { 'retry-after': '1' } })
        : new Response();
    });
    const { tracer, metrics } = exportTo(url, { ...fast, pauseMsMax: 5_000 });
    emit(tracer, 2);
    await until(() => metrics.text().includes('trace_spans_exported_total 2'), { timeoutMs: 5_000 });
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(950);
  });

  test('by redirecting is not followed', async () => {
    let followed = 0;
    const other = receive(() => {
      followed++;
      return new Response();
    });
    const { tracer, metrics } = exportTo(receive(() => Response.redirect(other, 307)));
    emit(tracer);
    await until(() => dropped(metrics, 'refused') === 1);
    expect(followed).toBe(0);
  });

  test('by answering 400 gets the batch once', async () => {
    let requests = 0;
    const url = receive(() => {
      requests++;
      return new Response('no', { status: 400 });
    });
    const { tracer, metrics } = exportTo(url);
    emit(tracer, 2);
    await until(() => dropped(metrics, 'refused') === 2);
    expect(requests).toBe(1);
  });

  test('by sending an endless answer byte by byte does not hold the next batch', async () => {
    let requests = 0;
    const url = receive(() => {
      requests++;
      let timer: Timer;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          timer = setInterval(() => controller.enqueue(new Uint8Array(1)), 10);
        },
        cancel: () => clearInterval(timer),
      });
      return new Response(body);
    });
    const { tracer } = exportTo(url);
    emit(tracer);
    await until(() => requests === 1);
    emit(tracer);
    await until(() => requests === 2);
  });
});

describe('shutting down', () => {
  test('exports what still waits', async () => {
    let spans = 0;
    const url = receive(async (request) => {
      spans += (await request.text()).split('"spanId"').length - 1;
      return new Response();
    });
    const { tracer } = exportTo(url, { ...fast, delayMs: 60_000 });
    emit(tracer, 5);
    await tracer.shutdown();
    expect(spans).toBe(5);
  });

  test('takes at most a second while the receiver never answers, and counts what it drops', async () => {
    const url = receive(() => new Promise(() => undefined));
    const { tracer, metrics } = exportTo(url, { ...fast, requestTimeoutMs: 60_000, batchBytesMax: 2_000 });
    emit(tracer, 10);
    const started = performance.now();
    await tracer.shutdown();
    expect(performance.now() - started).toBeLessThan(1_200);
    await until(() => dropped(metrics, 'shutdown') + dropped(metrics, 'unavailable') === 10);
    emit(tracer);
    expect(dropped(metrics, 'queue_full')).toBe(1);
  });

  test('is immediate when nothing waits', async () => {
    const { tracer } = exportTo('http://127.0.0.1:1/v1/traces');
    const started = performance.now();
    await tracer.shutdown();
    await tracer.shutdown();
    expect(performance.now() - started).toBeLessThan(100);
  });
});

test('Retry-After is read as seconds or as a date, and ignored otherwise', () => {
  const nowMs = Date.parse('2026-11-22T08:30:00Z');
  expect(parseRetryAfterMs('7', nowMs)).toBe(7_000);
  expect(parseRetryAfterMs('Sun, 22 Nov 2026 08:30:05 GMT', nowMs)).toBe(5_000);
  expect(parseRetryAfterMs('Sun, 22 Nov 2026 08:29:05 GMT', nowMs)).toBe(0);
  for (const text of [null, '', '-1', 'soon', '1e9']) expect(parseRetryAfterMs(text, nowMs)).toBeUndefined();
});
