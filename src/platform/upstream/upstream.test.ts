import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type Clock, createManualClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import { createUpstream as create } from './upstream.ts';

const createUpstream = (name: string, urls: readonly string[], concurrencyMax: number, clock: Clock) =>
  create({
    name,
    urls,
    concurrencyMax,
    connectTimeoutMs: 1_000,
    clock,
    log: createLog('silent'),
    metrics: createMetrics(),
    isAlive: async () => false,
  });
/** Waits until the probes after failed requests have been answered. */
const probesSettled = () => new Promise<void>((resolve) => setImmediate(resolve));
const urls = ['http://a', 'http://b', 'http://c'];

test('requests in flight are balanced evenly over the instances', () => {
  const upstream = createUpstream('trip', urls, 100, createManualClock(0));
  const leases = Array.from({ length: 9 }, () => upstream.acquire());
  for (const url of urls) expect(leases.filter((lease) => lease.instance.url === url).length).toBe(3);
});

test('an instance that fails again and again is ejected, and tried again later', async () => {
  const clock = createManualClock(0);
  const upstream = createUpstream('trip', ['http://a', 'http://b'], 100, clock);
  const fail = (url: string) => {
    for (;;) {
      const lease = upstream.acquire();
      if (lease.instance.url === url) return lease.release('failed');
      // The lease of the other instance is kept, so that the next choice is the wanted one.
    }
  };
  for (let n = 0; n < 5; n++) fail('http://a');
  await probesSettled();
  for (let n = 0; n < 20; n++) {
    const lease = upstream.acquire();
    expect(lease.instance.url).toBe('http://b');
    lease.release('answered');
  }
  await clock.advance(2_000);
  const used = new Set(Array.from({ length: 60 }, () => upstream.acquire().instance.url));
  expect(used).toEqual(new Set(['http://a', 'http://b']));
});

test('an instance is still tried when all are ejected', async () => {
  const upstream = createUpstream('trip', ['http://a'], 10, createManualClock(0));
  for (let n = 0; n < 7; n++) upstream.acquire().release('failed');
  await probesSettled();
  expect(upstream.acquire().instance.url).toBe('http://a');
});

test('requests beyond the bulkhead are rejected immediately, until another one ends', () => {
  const upstream = createUpstream('trip', urls, 2, createManualClock(0));
  const first = upstream.acquire();
  upstream.acquire();
  expect(() => upstream.acquire()).toThrow('overloaded');
  first.release('answered');
  expect(upstream.acquire().instance.url).toBeString();
});

test('the count of requests in flight never leaks, whatever their outcomes', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('answered' as const, 'failed' as const)), (outcomes) => {
      const upstream = createUpstream('trip', urls, 3, createManualClock(0));
      for (const outcome of outcomes) upstream.acquire().release(outcome);
      const instances = new Set(
        [upstream.acquire(), upstream.acquire(), upstream.acquire()].map((lease) => lease.instance),
      );
      for (const instance of instances) expect(instance.inFlight).toBeLessThanOrEqual(3);
      expect(() => upstream.acquire()).toThrow();
    }),
  );
});

describe('a request without an answer', () => {
  function upstreamOf(isAlive: () => Promise<boolean>) {
    const probes: number[] = [];
    const upstream = create({
      name: 'user',
      urls: ['http://a', 'http://b'],
      concurrencyMax: 1_000,
      connectTimeoutMs: 1_000,
      clock: createManualClock(0),
      log: createLog('silent'),
      metrics: createMetrics(),
      isAlive: () => {
        probes.push(probes.length);
        return isAlive();
      },
    });
    return { upstream, probes };
  }

  test('never counts against an instance that answers its probe, however often a client sends it', async () => {
    const { upstream } = upstreamOf(async () => true);
    for (let n = 0; n < 500; n++) {
      upstream.acquire().release('failed');
      if (n % 10 === 0) await probesSettled();
    }
    await probesSettled();
    const used = Array.from({ length: 40 }, () => upstream.acquire());
    expect(new Set(used.map(({ instance }) => instance.url)).size).toBe(2);
  });

  test('counts when the probe gets no answer either, and opens the breaker', async () => {
    const { upstream } = upstreamOf(async () => false);
    for (let n = 0; n < 30; n++) upstream.acquire().release('failed');
    await probesSettled();
    expect(() => upstream.acquire()).toThrow('user does not answer');
  });

  test('causes one probe of its instance at a time', async () => {
    const answer = Promise.withResolvers<boolean>();
    const { upstream, probes } = upstreamOf(() => answer.promise);
    for (let n = 0; n < 100; n++) upstream.acquire().release('failed');
    await probesSettled();
    expect(probes.length).toBe(2);
    answer.resolve(true);
    await probesSettled();
  });

  test('as the trial call of a half-open breaker neither closes nor opens it by itself', async () => {
    let alive = false;
    const clock = createManualClock(0);
    const upstream = create({
      name: 'user',
      urls: ['http://a'],
      concurrencyMax: 100,
      connectTimeoutMs: 1_000,
      clock,
      log: createLog('silent'),
      metrics: createMetrics(),
      isAlive: async () => alive,
    });
    for (let n = 0; n < 30; n++) upstream.acquire().release('failed');
    await probesSettled();
    expect(() => upstream.acquire()).toThrow('does not answer');
    alive = true;
    await clock.advance(1_000);
    for (let n = 0; n < 20; n++) {
      upstream.acquire().release('failed');
      await probesSettled();
    }
    for (let n = 0; n < 3; n++) upstream.acquire().release('answered');
    expect(Array.from({ length: 20 }, () => upstream.acquire()).length).toBe(20);
  });
});
