import { afterEach, describe, expect, test } from 'bun:test';
import { findPaymentViolations } from '@invariants/payments.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { type RunningSystem, startSystem, type TopologyName } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';
import { type CitySummary, createCity } from '../tools/city/index.ts';

const runTimeoutMs = 240_000;
// Faster than the usual 20: a ride of ten minutes takes six seconds.
const quick = { drivers: 24, trips: 24, timeScale: 100, ratePerSecond: 2 };
// A driver who goes dark holds up a rider for a third of the usual time.
const settings = { OFFER_TIMEOUT_SECONDS: '5' };

let system: RunningSystem | undefined;
afterEach(async () => {
  await system?.stop();
  system = undefined;
}, 60_000);

async function drive(
  running: RunningSystem,
  seed: number,
  meanwhile?: () => Promise<void>,
): Promise<CitySummary> {
  const city = createCity({ url: running.url, seed, ...quick });
  const [summary] = await Promise.all([city.run(new AbortController().signal), meanwhile?.()]);
  return summary;
}

function expectEveryTripEnded(summary: CitySummary) {
  expect(summary.violations).toEqual([]);
  expect(summary.errors).toEqual({});
  expect(summary.requested).toBe(quick.trips);
  expect(summary.completed + summary.cancelled + summary.unfulfilled).toBe(quick.trips);
  expect(summary.captured).toBe(summary.completed);
  expect(summary.completed).toBeGreaterThan(quick.trips / 2);
}

/** Outboxes drained, nobody stuck, and all invariants that the database can tell. */
async function expectSound(running: RunningSystem) {
  await until(
    async () =>
      (await running.sql`select 1 from trip.outbox union all select 1 from payment.outbox`).length === 0,
    {
      describe: 'the outboxes to be drained',
      timeoutMs: 20_000,
    },
  );
  const [trip, payment, driver] = [
    running.schema('trip'),
    running.schema('payment'),
    running.schema('driver'),
  ];
  expect(await findTripViolations(trip)).toEqual([]);
  expect(await findPaymentViolations(payment)).toEqual([]);
  const unfinished =
    await trip`select id, status from trips where status not in ('completed', 'cancelled', 'unfulfilled')`;
  expect([...unfinished]).toEqual([]);
  await until(
    async () => (await driver`select 1 from drivers where status in ('held', 'on_trip')`).length === 0,
    {
      describe: 'every driver to be free again',
      timeoutMs: 20_000,
    },
  );
}

describe.each(['one process, embedded adapters', 'fleet'] as const)(
  'a city drives, %s',
  (name: TopologyName) => {
    test(
      'every trip ends as it should, and nobody saw a promise broken',
      async () => {
        system = await startSystem(name, settings);
        const summary = await drive(system, 7);
        expectEveryTripEnded(summary);
        expect(summary.assignMs.p50).toBeLessThan(2_000);
        await expectSound(system);
      },
      runTimeoutMs,
    );
  },
);

describe('a city drives while services die, fleet', () => {
  test.each([
    ['the trip service', ['trip']],
    ['every other service in turn', ['payment', 'driver', 'notification', 'user', 'gateway']],
  ] as const)(
    'kill -9 of %s in the middle loses no trip and leaves none stuck',
    async (_, victims) => {
      system = await startSystem('fleet', settings);
      const { fleet, schema } = system;
      const trips = schema('trip');
      const completed = async (count: number) =>
        (await trips`select 1 from trips where status = 'completed'`).length >= count;
      const summary = await drive(system, 11, async () => {
        // In the middle: some rides have ended, some are under way.
        await until(() => completed(quick.trips / 6), {
          describe: 'the first rides to end',
          timeoutMs: 120_000,
        });
        for (const victim of victims) {
          const service = fleet?.services[victim];
          const before = service?.pid();
          service?.signal('SIGKILL');
          await until(() => service?.restarts() === 1 && service.isReady() && service.pid() !== before, {
            describe: `the supervisor to start ${victim} again`,
            timeoutMs: 20_000,
          });
        }
      });
      expectEveryTripEnded(summary);
      await expectSound(system);
    },
    runTimeoutMs,
  );
});
