import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { createTraceStore } from './trace-store.ts';

const traceIdOf = (number: number) => (number + 1).toString(16).padStart(32, '0');

const requestOf = (traceId: string, spanCount = 1, name = 'work') => ({
  resourceSpans: [
    {
      resource: { attributes: [{ key: 'service.name', value: { stringValue: 'trip' } }] },
      scopeSpans: [
        {
          spans: Array.from({ length: spanCount }, (_, at) => ({
            traceId,
            spanId: (at + 1).toString(16).padStart(16, '0'),
            name,
            startTimeUnixNano: String(1_800_000_000_000_000_000n - BigInt(at) * 1_000_000n),
            endTimeUnixNano: '1800000000500000000',
          })),
        },
      ],
    },
  ],
});

describe('the trace store', () => {
  test('answers the spans of a trace in the order of their start', () => {
    const store = createTraceStore();
    store.addOtlp(requestOf(traceIdOf(1), 3));
    expect(store.find(traceIdOf(1)).map(({ startedAt }) => startedAt)).toEqual([
      1_799_999_999_998, 1_799_999_999_999, 1_800_000_000_000,
    ]);
    expect(store.find(traceIdOf(2))).toEqual([]);
  });

  test('keeps the newest traces within its bytes', () => {
    const store = createTraceStore(100_000);
    for (let number = 0; number < 1_000; number++)
      store.addOtlp(requestOf(traceIdOf(number), 2, 'n'.repeat(100)));
    expect(store.bytes()).toBeLessThanOrEqual(100_000);
    expect(store.find(traceIdOf(999))).toHaveLength(2);
    expect(store.find(traceIdOf(0))).toEqual([]);
  });

  test('keeps a bounded number of spans of one trace', () => {
    const store = createTraceStore();
    for (let round = 0; round < 5; round++) store.addOtlp(requestOf(traceIdOf(1), 1_000));
    expect(store.find(traceIdOf(1))).toHaveLength(2_000);
  });

  test('rejects whatever is no OTLP request, and never throws', () => {
    const store = createTraceStore();
    expect(store.addOtlp({ resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: 'XYZ' }] }] }] })).toBe(false);
    fc.assert(fc.property(fc.anything(), (value) => void store.addOtlp(value)));
    expect(store.bytes()).toBe(0);
  });
});
