import { expect, test } from 'bun:test';
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
  });
const urls = ['http://a', 'http://b', 'http://c'];

test('requests under way are spread evenly over the instances', () => {
  const upstream = createUpstream('trip', urls, 100, createManualClock(0));
  const leases = Array.from({ length: 9 }, () => upstream.acquire());
  for (const url of urls) expect(leases.filter((lease) => lease.instance.url === url).length).toBe(3);
});

test('an instance that fails again and again is left out, then tried anew', async () => {
  const clock = createManualClock(0);
  const upstream = createUpstream('trip', ['http://a', 'http://b'], 100, clock);
  const fail = (url: string) => {
    for (;;) {
      const lease = upstream.acquire();
      if (lease.instance.url === url) return lease.release('failed');
      // Keep the other one busy so that the next choice is the wanted one.
    }
  };
  for (let n = 0; n < 5; n++) fail('http://a');
  for (let n = 0; n < 20; n++) {
    const lease = upstream.acquire();
    expect(lease.instance.url).toBe('http://b');
    lease.release('answered');
  }
  await clock.advance(2_000);
  const used = new Set(Array.from({ length: 60 }, () => upstream.acquire().instance.url));
  expect(used).toEqual(new Set(['http://a', 'http://b']));
});

test('when all instances are out, one is still tried', () => {
  const upstream = createUpstream('trip', ['http://a'], 10, createManualClock(0));
  for (let n = 0; n < 7; n++) upstream.acquire().release('failed');
  expect(upstream.acquire().instance.url).toBe('http://a');
});

test('more requests than the bulkhead holds are refused at once, until one is over', () => {
  const upstream = createUpstream('trip', urls, 2, createManualClock(0));
  const first = upstream.acquire();
  upstream.acquire();
  expect(() => upstream.acquire()).toThrow('overloaded');
  first.release('answered');
  expect(upstream.acquire().instance.url).toBeString();
});

test('the count of requests under way never leaks, whatever their outcomes', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('answered' as const, 'failed' as const)), (outcomes) => {
      const upstream = createUpstream('trip', urls, 3, createManualClock(0));
      for (const outcome of outcomes) upstream.acquire().release(outcome);
      const instances = new Set(
        [upstream.acquire(), upstream.acquire(), upstream.acquire()].map((lease) => lease.instance),
      );
      for (const instance of instances) expect(instance.outstanding).toBeLessThanOrEqual(3);
      expect(() => upstream.acquire()).toThrow();
    }),
  );
});
