import { afterEach, describe, expect, test } from 'bun:test';
import { findPaymentViolations } from '@invariants/payments.ts';
import { findTripViolations } from '@invariants/trips.ts';
import { type RunningSystem, startSystem, type TopologyName } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';
import { type CitySummary, createCity } from '../tools/city/index.ts';

const runTimeoutMs = 240_000;
// Faster than the default of 20: a ten-minute ride takes six seconds.
const quick = { drivers: 24, trips: 24, timeScale: 100, ratePerSecond: 2 };
// An unreachable driver delays a rider for a third of the default time.
const settings = { OFFER_TIMEOUT_SECONDS: '5' };

let system: RunningSystem | undefined;
afterEach(async () => {
  await system?.stop();
  system = undefined;
}, 60_000);

async function runCity(
  running: RunningSystem,
  seed: number,
  duringRun?: () => Promise<void>,
): Promise<CitySummary> {
  const city = createCity({ url: running.url, seed, ...quick });
  const [summary] = await Promise.all([city.run(new AbortController().signal), duringRun?.()]);
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

/** Waits for empty outboxes and free drivers, and checks the database invariants. */
async function expectConsistentState(running: RunningSystem) {
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
  'a simulated city, %s',
  (name: TopologyName) => {
    test(
      'sees every trip end in an allowed way and no rule violated',
      async () => {
        system = await startSystem(name, settings);
        const summary = await runCity(system, 7);
        expectEveryTripEnded(summary);
        expect(summary.assignMs.p50).toBeLessThan(2_000);
        await expectConsistentState(system);
      },
      runTimeoutMs,
    );
  },
);

describe('a simulated city on a fleet', () => {
  test.each([
    ['the trip service', ['trip']],
    ['every other service in turn', ['payment', 'driver', 'notification', 'user', 'gateway']],
  ] as const)(
    'loses no trip and leaves none stuck when %s is killed',
    async (_, victims) => {
      system = await startSystem('fleet', settings);
      const { fleet, schema } = system;
      const trips = schema('trip');
      const completed = async (count: number) =>
        (await trips`select 1 from trips where status = 'completed'`).length >= count;
      const summary = await runCity(system, 11, async () => {
        // By then some rides have ended and others are in progress.
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
      await expectConsistentState(system);
    },
    runTimeoutMs,
  );
});
