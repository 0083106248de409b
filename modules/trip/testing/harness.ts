import { type DomainEvent, eventSchemas, type TripEventType } from '@contracts/events.ts';
import { type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Quote } from '@contracts/payments.ts';
import type { Trip } from '@contracts/trips.ts';
import { type Bus, done } from '@platform/bus/bus.ts';
import { createMemoryBus } from '@platform/bus/memory.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { createIds, type Ids } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { createDatabase, type Database, type Sql } from '@platform/postgres/database.ts';
import { createSeededRandom } from '@platform/random.ts';
import { createStraightLineRouter } from '@platform/routing/router.ts';
import { createTestHttpApp } from '@testing/http-app.ts';
import { createTestDatabase } from '@testing/postgres.ts';
import { testServiceGuard } from '@testing/service-auth.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { until } from '@testing/until.ts';
import { createTripContext, type TripContext } from '../context.ts';
import { type TripSettings, tripSettings } from '../settings.ts';
import { createTripClient, type TestTripClient } from './client.ts';
import {
  createFakeDrivers,
  createFakePayments,
  createFakeQuotes,
  type FakeDrivers,
  type FakePayments,
  type FakeQuotes,
  type TestTripDriver,
} from './fakes.ts';

export interface TestTrip {
  clock: ManualClock;
  bus: Bus;
  ids: Ids;
  drivers: FakeDrivers;
  quotes: FakeQuotes;
  payments: FakePayments;
  /** The default settings. */
  settings: TripSettings;
  databaseUrl: string;
  /** A connection to the trip schema. */
  sql: Sql;
  /** The events that the context has published about a trip, in order. */
  eventsOf(tripId: TripId): DomainEvent<TripEventType>[];
  /** Creates another instance on the same database. Its workers run after `start()`. */
  createInstance(env?: Record<string, string>): TestTripInstance;
  /** Creates a separate city, so that tests on the same database do not share drivers. */
  createCity(): TestCity;
  close(): Promise<void>;
}

export interface TestTripInstance {
  context: TripContext;
  clientFor(person: { id: string; role: 'rider' | 'driver' | 'ops'; name?: string | null }): TestTripClient;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface TestCity {
  addRider(): TestTripRider;
  /** Adds an available driver at this distance from the pickup of the city's riders. */
  addDriver(eastMetres?: number): TestTripDriver;
}

export interface TestTripRider {
  id: RiderId;
  role: 'rider';
  /** The name in the access token. */
  name: string | null;
  /** Adds a valid quote of this rider. */
  addQuote(overrides?: Partial<Quote>): QuoteId;
}

const startMs = Date.UTC(2026, 10, 22, 8);
const cityLngStep = 0.5;
// Tests move the clock by hours.
const tokenLifeSeconds = 7 * 24 * 3_600;

/** The trip context on its own PostgreSQL database, with bus, clock and ports in memory. */
export async function createTestTrip(): Promise<TestTrip> {
  const clock = createManualClock(startMs);
  const random = createSeededRandom(7);
  const ids = createIds(clock, random);
  const log = createLog('silent');
  const tokens = createTestTokens(clock);
  const bus = createMemoryBus({ clock, random, log });
  const testDatabase = await createTestDatabase();
  const drivers = createFakeDrivers(ids);
  const quotes = createFakeQuotes(clock, ids);
  const payments = createFakePayments();
  const databases: Database[] = [];
  const running = new Set<() => Promise<void>>();
  const events: DomainEvent<TripEventType>[] = [];
  let cities = 0;

  await bus.subscribe({
    queue: 'test.trips',
    events: (Object.keys(eventSchemas) as TripEventType[]).filter((type) => type.startsWith('trip.')),
    prefetch: 100,
    handle: async ({ event }) => {
      events.push(event);
      drivers.applyTripEvent(event);
      return done;
    },
  });

  function open(): Database {
    const database = createDatabase({
      url: testDatabase.url,
      schema: 'trip',
      poolMax: 8,
      statementTimeoutMs: 5_000,
      log,
    });
    databases.push(database);
    return database;
  }

  function createInstance(env: Record<string, string> = {}): TestTripInstance {
    const context = createTripContext({
      database: open(),
      bus,
      clock,
      random,
      ids,
      log,
      metrics: createMetrics(),
      guard: tokens.guard,
      serviceGuard: testServiceGuard('trip', clock),
      settings: loadConfig(tripSettings, env),
      drivers: drivers.pool,
      quotes: quotes.port,
      authorisations: payments.port,
      router: createStraightLineRouter('Asia/Ho_Chi_Minh'),
    });
    const app = createTestHttpApp({
      service: 'trip',
      clock,
      ids,
      log,
      metrics: createMetrics(),
      readinessChecks: context.readinessChecks,
    })
      .use(context.routes)
      .use(context.internalRoutes);
    const stop = async () => {
      for (const worker of context.workers.toReversed()) await worker.stop();
    };
    return {
      context,
      clientFor: ({ id, role, name }) =>
        createTripClient(
          async (request) => app.handle(request),
          tokens.bearer(id, role, { expiresInSeconds: tokenLifeSeconds, claims: { name } }),
        ),
      async start() {
        running.add(stop);
        for (const worker of context.workers) await worker.start();
      },
      async stop() {
        running.delete(stop);
        await stop();
      },
    };
  }

  await createInstance().context.prepare();
  return {
    clock,
    bus,
    ids,
    drivers,
    quotes,
    payments,
    settings: loadConfig(tripSettings, {}),
    databaseUrl: testDatabase.url,
    sql: open().primary,
    eventsOf: (tripId) => events.filter(({ subject }) => subject === tripId),
    createInstance,
    createCity: () => createTestCity(++cities, ids, drivers, quotes),
    async close() {
      await Promise.all([...running].map((stop) => stop()));
      await bus.close();
      await Promise.all(databases.map((database) => database.close()));
      await testDatabase.drop();
    },
  };
}

function createTestCity(index: number, ids: Ids, drivers: FakeDrivers, quotes: FakeQuotes): TestCity {
  const pickup: LatLng = { lat: 10.7725, lng: index * cityLngStep };
  const dropoff = offsetPoint(pickup, -5_000, 5_000);
  return {
    addRider() {
      const id = ids<RiderId>();
      return {
        id,
        role: 'rider',
        name: 'Nguyễn Văn An',
        addQuote: (overrides) => quotes.add(id, { pickup, dropoff, ...overrides }),
      };
    },
    addDriver: (eastMetres = 500) => drivers.add(offsetPoint(pickup, eastMetres, 0)),
  };
}

/** Advances the clock in small steps until `condition` holds, so that durable timers become due. */
export async function advanceClockUntil<T>(
  clock: ManualClock,
  describe: string,
  condition: () => T | Promise<T>,
): Promise<Exclude<T, false | null | undefined>> {
  return until(
    async () => {
      const met = await condition();
      if (met === false || met === null || met === undefined) await clock.advance(250);
      return met;
    },
    { describe, timeoutMs: 10_000 },
  );
}

/** A trip with the API clients of its participants. */
export interface TestTripFixture {
  id: TripId;
  startCode: string;
  rider: TestTripRider;
  driver: TestTripDriver;
  asRider: TestTripClient;
  asDriver: TestTripClient;
}

const stepsByStatus: [Trip['status'], string][] = [
  ['assigned', 'accept'],
  ['arrived', 'arrive'],
  ['in_progress', 'start'],
  ['completed', 'complete'],
];

/** Creates a trip and brings it to `status` over the public routes. The instance must use DISPATCH_MODE=sync. */
export async function createTripInStatus(
  status: 'offered' | 'assigned' | 'arrived' | 'in_progress' | 'completed',
  instance: TestTripInstance,
  city: TestCity,
): Promise<TestTripFixture> {
  const [rider, driver] = [city.addRider(), city.addDriver()];
  const [asRider, asDriver] = [instance.clientFor(rider), instance.clientFor(driver)];
  const { id, startCode = '' } = (await asRider.create(rider.addQuote())).trip;
  for (const [reached, step] of stepsByStatus) {
    if ((await asRider.get(id)).trip.status === status) break;
    const answer = await asDriver.act(id, step, step === 'start' ? { code: startCode } : undefined);
    if (answer.trip.status !== reached) throw new Error(`${step} led to ${answer.text}`);
  }
  return { id, startCode, rider, driver, asRider, asDriver };
}
