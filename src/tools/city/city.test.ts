import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { type Clock, systemClock } from '@platform/clock.ts';
import { createFakeEdge, type FakeEdge, type FakeEdgeOptions, problemAnswer } from '@testing/fake-edge.ts';
import { until } from '@testing/until.ts';
import { type CityOptions, createCity } from './index.ts';
import { exitCodeOf } from './summary.ts';

/** A clock that runs this many times faster than real time; people and server share it. */
function createFastClock(factor: number): Clock {
  const startMs = systemClock.nowMs();
  return {
    nowMs: () => startMs + (systemClock.nowMs() - startMs) * factor,
    sleep: (ms, signal) => systemClock.sleep(ms / factor, signal),
  };
}

setDefaultTimeout(30_000);
const servers: FakeEdge[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

function town(city: Partial<CityOptions> = {}, faults: FakeEdgeOptions = {}) {
  const clock = createFastClock(40);
  const server = createFakeEdge({ clock, ...faults });
  servers.push(server);
  const quiet = { declineRate: 0, darkRate: 0, cancelRate: 0 };
  const usual = { url: server.url, drivers: 12, trips: 15, seed: 7, timeScale: 80, ratePerSecond: 2, clock };
  return { server, city: createCity({ ...usual, ...quiet, ...city }) };
}

const never = new AbortController().signal;

describe('a city against a correct server', () => {
  test('ends with every trip accounted for, everyone offline and no open socket', async () => {
    const { server, city } = town({
      declineRate: 0.2,
      darkRate: 0.1,
      cancelRate: 0.3,
      drivers: 20,
      trips: 40,
    });
    const summary = await city.run(never);
    expect(summary.violations).toEqual([]);
    expect(summary.errors).toEqual({});
    expect(summary.requested).toBe(40);
    expect(summary.completed + summary.cancelled + summary.unfulfilled).toBe(40);
    expect(summary.captured).toBe(summary.completed);
    expect(summary.completed).toBeGreaterThan(10);
    expect(summary.cancelled).toBeGreaterThan(0);
    expect(Object.values(summary.reasons).reduce((a, b) => a + b, 0)).toBe(40 - summary.completed);
    expect(exitCodeOf(summary)).toBe(0);
    expect([server.onlineDriverCount(), server.openSocketCount()]).toEqual([0, 0]);
  });

  test('requests the same rides for the same seed and others for another seed', async () => {
    // The outcome of a ride depends on real time; the requests depend on the seed alone.
    async function ridesAskedFor(seed: number): Promise<string[]> {
      const rideRequests: string[] = [];
      const { city } = town(
        { seed },
        {
          corruptResponse(route, body) {
            if (route === 'POST /v1/quotes')
              rideRequests.push(JSON.stringify([body.pickup, body.dropoff, body.product]));
            return body;
          },
        },
      );
      const { requested } = await city.run(never);
      expect(requested).toBe(15);
      return rideRequests.sort();
    }
    const [one, same, other] = await Promise.all([ridesAskedFor(7), ridesAskedFor(7), ridesAskedFor(8)]);
    expect(one.length).toBe(15);
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  test('counts no error when a card is declined on purpose', async () => {
    const summary = await town({ declinedCardRate: 1 }).city.run(never);
    expect(summary.violations).toEqual([]);
    expect(summary.errors).toEqual({});
    expect(summary.captured).toBe(summary.completed);
    expect(summary.reasons['unpaid at first: card declined']).toBeGreaterThan(0);
    expect(summary.reasons['cancelled by system: payment_declined']).toBeGreaterThan(0);
  });

  test('counts outages as retries, not as errors', async () => {
    const isOut = (nth: number) => nth % 4 === 2;
    const { city } = town(
      {},
      {
        overrideResponse: (route, nth) =>
          isOut(nth) && /^(POST|GET) \/v1\/(trips|quotes|payment)/.test(route)
            ? problemAnswer(503, 'service.unavailable', { 'retry-after': '1' })
            : undefined,
      },
    );
    const summary = await city.run(never);
    expect(summary.retried).toBeGreaterThan(10);
    expect(summary.errors).toEqual({});
    expect(summary.violations).toEqual([]);
    expect(summary.captured).toBe(summary.completed);
  });

  test('reconnects after the live connections were closed and misses nothing', async () => {
    const { server, city } = town();
    const running = city.run(never);
    await until(() => city.progress().tally.completed >= 3);
    server.closeSockets(1012);
    const summary = await running;
    expect(summary.reconnects).toBeGreaterThan(10);
    expect(summary.violations).toEqual([]);
    expect(summary.completed).toBe(15 - summary.unfulfilled);
  });
});

describe('a violation is detected', () => {
  const cases: [string, FakeEdgeOptions, Partial<CityOptions>?][] = [
    [
      'earnings',
      { corruptResponse: (route, body) => (route.endsWith('/earnings') ? { ...body, items: [] } : body) },
    ],
    ['seen_by_stranger', { isEverythingVisible: true }, { trips: 60, ratePerSecond: 6, seed: 11 }],
    ['seq_gap', { shouldDropEvent: (event, nth) => event === 'trip.arrived' && nth === 2 }],
    [
      'receipt_total',
      {
        corruptResponse: (route, body) =>
          route.endsWith('/receipt') ? { ...body, total: { amountMinor: 1, currency: 'VND' } } : body,
      },
    ],
    [
      'history',
      {
        corruptResponse: (route, body) =>
          route.endsWith('/history') ? { items: [body.items].flat().slice(1) } : body,
      },
    ],
    [
      'views_differ',
      {
        corruptResponse: (route, body, nth) =>
          route === 'GET /v1/trips/:id' && nth % 2 === 0 ? { ...body, reason: 'what?' } : body,
      },
    ],
    [
      'acknowledged_lost',
      {
        corruptResponse: (route, body) =>
          route === 'GET /v1/trips' ? { items: [], nextCursor: null } : body,
      },
    ],
    [
      'acknowledged_lost',
      {
        overrideResponse: (route, nth) =>
          route === 'GET /v1/trips/:id' && nth > 4 ? problemAnswer(404, 'trip.not_found') : undefined,
      },
    ],
  ];
  for (const [rule, faults, options] of cases) {
    test(`${rule}: the run fails`, async () => {
      const summary = await town(options, faults).city.run(never);
      expect(summary.violations.map((violation) => violation.rule)).toContain(rule as never);
      expect(exitCodeOf(summary)).toBe(1);
    });
  }

  test('an unprovoked error fails the run too', async () => {
    const { city } = town(
      {},
      {
        overrideResponse: (route, nth) =>
          route === 'POST /v1/quotes' && nth === 3 ? problemAnswer(500, 'internal.error') : undefined,
      },
    );
    const summary = await city.run(never);
    expect(summary.errors).toEqual({ 'internal.error': 1 });
    expect(summary.requested).toBe(14);
    expect(exitCodeOf(summary)).toBe(1);
  });
});

describe('stopping', () => {
  test('an endless city lets active rides end', async () => {
    const { server, city } = town({ trips: Number.POSITIVE_INFINITY });
    const running = city.run(never);
    await until(() => city.progress().tally.requested >= 5);
    city.stop();
    const summary = await running;
    expect(summary.completed + summary.unfulfilled).toBe(summary.requested);
    expect([server.onlineDriverCount(), server.openSocketCount()]).toEqual([0, 0]);
  });

  test('an aborted city ends at once and leaves no driver online and no open socket', async () => {
    const { server, city } = town({ trips: Number.POSITIVE_INFINITY, timeScale: 1, clock: systemClock });
    const leaving = new AbortController();
    const running = city.run(leaving.signal);
    await until(() => city.progress().drivers.on_trip >= 2, { timeoutMs: 20_000 });
    leaving.abort();
    const summary = await running;
    expect(summary.violations).toEqual([]);
    expect(server.openSocketCount()).toBe(0);
    expect(server.onlineDriverCount()).toBe(0);
  });

  test('a city that is aborted during enrolment does not start', async () => {
    const { server, city } = town({ drivers: 200 });
    const leaving = new AbortController();
    const running = city.run(leaving.signal);
    await until(() => city.progress().enrolled.done >= 3);
    leaving.abort();
    expect((await running).requested).toBe(0);
    expect(server.openSocketCount()).toBe(0);
  });

  test('a city that can not enrol anybody reports the reason', async () => {
    const { city } = town({}, { overrideResponse: () => problemAnswer(403, 'auth.closed') });
    expect(city.run(never)).rejects.toThrow(
      'no driver could be enrolled; the server rejected them: auth.closed',
    );
  });
});
