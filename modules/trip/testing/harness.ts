import type { Candidate, CandidateQuery, Vehicle } from '@contracts/drivers.ts';
import { type DomainEvent, eventSchemas, type TripEventType } from '@contracts/events.ts';
import { distanceMetres, type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { DriverId, PaymentId, PaymentMethodId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { AuthorisationState, Quote } from '@contracts/payments.ts';
import { Trip } from '@contracts/trips.ts';
import { type Bus, done } from '@platform/bus/bus.ts';
import { createMemoryBus } from '@platform/bus/memory.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { createHttpApp } from '@platform/http/app.ts';
import { createIds, type Ids } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics } from '@platform/metrics.ts';
import { createDatabase, type Database, type Sql } from '@platform/postgres/database.ts';
import { createSeededRandom } from '@platform/random.ts';
import { createStraightLineRouter } from '@platform/routing/router.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { createTestDatabase } from '@testing/postgres.ts';
import { testServiceGuard } from '@testing/service-auth.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { until } from '@testing/until.ts';
import { createTripContext, type TripContext } from '../context.ts';
import type { DriverPool, FareQuotes, PaymentAuthorisations } from '../ports.ts';
import { type TripSettings, tripSettings } from '../settings.ts';

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

export interface TestTripClient {
  send(method: string, path: string, options?: TestTripRequestOptions): Promise<TestTripResponse>;
  create(quoteId: QuoteId, idempotencyKey?: string): Promise<TestTripResponse>;
  get(tripId: TripId): Promise<TestTripResponse>;
  /** POST /v1/trips/:id/<step> */
  act(tripId: TripId, step: string, body?: unknown): Promise<TestTripResponse>;
}

export interface TestTripRequestOptions {
  body?: unknown;
  headers?: Record<string, string>;
}

export interface TestTripResponse {
  status: number;
  headers: Headers;
  text: string;
  /** The problem code, if the response is a problem. */
  code: string | undefined;
  /** Parses the body with `schema`. Throws if it does not match. */
  parseAs<T extends TSchema>(schema: T): Static<T>;
  trip: Trip;
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

export interface TestTripDriver {
  id: DriverId;
  role: 'driver';
  name: string | null;
  plate: string;
}

const startMs = Date.UTC(2026, 10, 22, 8);
const cityLngStep = 0.5;
// Tests move the clock by hours.
const tokenLifeSeconds = 7 * 24 * 3_600;
const reachMetres = 20_000;

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
    const app = createHttpApp({
      service: 'trip',
      clock,
      ids,
      log,
      metrics: createMetrics(),
      isAccepting: () => true,
      readinessChecks: context.readinessChecks,
      accessLog: false,
      bodyBytesMax: 65_536,
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
    createCity() {
      const pickup: LatLng = { lat: 10.7725, lng: ++cities * cityLngStep };
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
    },
    async close() {
      await Promise.all([...running].map((stop) => stop()));
      await bus.close();
      await Promise.all(databases.map((database) => database.close()));
      await testDatabase.drop();
    },
  };
}

function createTripClient(
  handle: (request: Request) => Promise<Response>,
  bearer: { authorization: string },
): TestTripClient {
  const send: TestTripClient['send'] = async (method, path, { body, headers = {} } = {}) => {
    const requestBody = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const type = requestBody === undefined ? {} : { 'content-type': 'application/json' };
    const request = new Request(`http://trip.test${path}`, {
      method,
      headers: { ...type, ...bearer, ...headers },
      ...(requestBody === undefined ? {} : { body: requestBody }),
    });
    return readResponse(await handle(request));
  };
  return {
    send,
    create: (quoteId, idempotencyKey) =>
      send('POST', '/v1/trips', {
        body: { quoteId },
        headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey },
      }),
    get: (tripId) => send('GET', `/v1/trips/${tripId}`),
    act: (tripId, step, body) =>
      send('POST', `/v1/trips/${tripId}/${step}`, body === undefined ? {} : { body }),
  };
}

async function readResponse(response: Response): Promise<TestTripResponse> {
  const text = await response.text();
  const json: unknown = text === '' ? undefined : JSON.parse(text);
  const isProblem = response.headers.get('content-type') === 'application/problem+json';
  const read = <T extends TSchema>(schema: T): Static<T> => {
    if (Value.Check(schema, json)) return json;
    throw new Error(`unexpected response: ${response.status} ${text}`);
  };
  return {
    status: response.status,
    headers: response.headers,
    text,
    code:
      isProblem && typeof json === 'object' && json !== null && 'code' in json
        ? String(json.code)
        : undefined,
    parseAs: read,
    get trip() {
      return read(Trip);
    },
  };
}

export interface FakeDrivers {
  pool: DriverPool;
  /** Adds an available driver with a car. */
  add(position: LatLng): TestTripDriver;
  /** Changes the vehicle of the driver. Null means that they go offline. */
  changeVehicle(driverId: DriverId, vehicle: Vehicle | null): void;
  /** Called at the start of each hold. */
  beforeHold: (driverId: DriverId) => void;
  /** Ends the holds of trips that no longer need them, as the driver context does. */
  applyTripEvent(event: DomainEvent<TripEventType>): void;
  positionOf(driverId: DriverId): LatLng;
  /** The trip that holds each driver. */
  holds: Map<DriverId, TripId>;
  queries: CandidateQuery[];
  /** When the newest position of each trip was recorded, in Unix ms. */
  lastPositionsAtMs: Map<TripId, number>;
  /** If false, every call rejects, as while the driver service is down. */
  isReachable: boolean;
  /** Makes every call wait until the returned function is called, as while the driver service hangs. */
  hang(): () => void;
  /** Number of calls that wait because of `hang`. */
  waitingCalls(): number;
  /** If false, every hold is granted, so that only the database prevents conflicts. */
  enforcesHolds: boolean;
}

function createFakeDrivers(ids: Ids): FakeDrivers {
  const fleet: (Omit<Candidate, 'distanceMetres'> & { vehicle: Vehicle | null })[] = [];
  let gatePromise: Promise<void> | undefined;
  let waiting = 0;
  const fake: FakeDrivers = {
    holds: new Map(),
    lastPositionsAtMs: new Map(),
    queries: [],
    isReachable: true,
    hang() {
      const gate = Promise.withResolvers<void>();
      gatePromise = gate.promise;
      return () => {
        gatePromise = undefined;
        gate.resolve();
      };
    },
    waitingCalls: () => waiting,
    enforcesHolds: true,
    beforeHold: () => undefined,
    changeVehicle(driverId, vehicle) {
      for (const driver of fleet) if (driver.driverId === driverId) driver.vehicle = vehicle;
    },
    applyTripEvent({ data: { tripId, status, offeredDriverId, driverId, replacedDriverId } }) {
      const isBound = ['offered', 'assigned', 'arrived', 'in_progress'].includes(status);
      if (isBound) return;
      for (const id of [offeredDriverId, driverId, replacedDriverId ?? null])
        if (id !== null && fake.holds.get(id) === tripId) fake.holds.delete(id);
    },
    add(position) {
      const id = ids<DriverId>();
      const plate = `51F-${fleet.length}`;
      fleet.push({
        driverId: id,
        position,
        vehicle: { product: 'car', plate, model: 'Vios', colour: 'white' },
      });
      return { id, role: 'driver', name: `Driver ${plate}`, plate };
    },
    positionOf: (driverId) =>
      fleet.find((driver) => driver.driverId === driverId)?.position ?? { lat: 0, lng: 0 },
    pool: {
      async findCandidates(query) {
        await simulateCall();
        fake.queries.push(query);
        return fleet
          .map((driver) => ({ ...driver, distanceMetres: distanceMetres(driver.position, query.pickup) }))
          .filter(
            (driver) => driver.distanceMetres < reachMetres && driver.vehicle?.product === query.product,
          )
          .filter(({ driverId }) => !query.excluding.includes(driverId))
          .filter(({ driverId }) => !fake.enforcesHolds || !fake.holds.has(driverId))
          .toSorted((a, b) => a.distanceMetres - b.distanceMetres)
          .slice(0, query.limit)
          .map(({ vehicle: _, ...candidate }) => candidate);
      },
      async hold({ driverId, tripId, product }) {
        await simulateCall();
        fake.beforeHold(driverId);
        const vehicle = fleet.find((driver) => driver.driverId === driverId)?.vehicle ?? null;
        if (vehicle?.product !== product) return { held: false };
        if (!fake.enforcesHolds) return { held: true, vehicle };
        if (fake.holds.has(driverId)) return { held: false };
        fake.holds.set(driverId, tripId);
        return { held: true, vehicle };
      },
      async release({ driverId, tripId }) {
        await simulateCall();
        if (fake.holds.get(driverId) === tripId) fake.holds.delete(driverId);
      },
      async findLastPositionAtMs(tripId) {
        await simulateCall();
        return fake.lastPositionsAtMs.get(tripId) ?? null;
      },
    },
  };
  async function simulateCall(): Promise<void> {
    if (gatePromise !== undefined) {
      waiting++;
      await gatePromise;
      waiting--;
    }
    if (!fake.isReachable) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  }
  return fake;
}

export interface FakeQuotes {
  port: FareQuotes;
  add(riderId: RiderId, overrides?: Partial<Quote>): QuoteId;
  /** Removes a quote, as the payment context may do long after it expired. */
  remove(quoteId: QuoteId): void;
  /** The unpaid payment of each rider with a debt. */
  debts: Map<RiderId, PaymentId>;
  isReachable: boolean;
}

const quoteLifeMs = 5 * 60_000;

function createFakeQuotes(clock: ManualClock, ids: Ids): FakeQuotes {
  const quotes = new Map<QuoteId, Quote>();
  const fake: FakeQuotes = {
    isReachable: true,
    debts: new Map(),
    port: {
      async find(quoteId, riderId) {
        if (!fake.isReachable)
          throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
        const quote = quotes.get(quoteId);
        if (quote?.riderId !== riderId) return undefined;
        return { quote, debtPaymentId: fake.debts.get(riderId) ?? null };
      },
    },
    add(riderId, overrides = {}) {
      const nowMs = clock.nowMs();
      const quote: Quote = {
        id: ids<QuoteId>(),
        riderId,
        product: 'car',
        pickup: { lat: 10.7725, lng: 106.698 },
        dropoff: { lat: 10.8188, lng: 106.6519 },
        distanceMetres: 9_400,
        durationSeconds: 1_500,
        fare: { amountMinor: 128_000, currency: 'VND' },
        lines: [
          { kind: 'base', amountMinor: 28_000 },
          { kind: 'distance', amountMinor: 100_000 },
        ],
        paymentMethodId: ids<PaymentMethodId>(),
        createdAt: new Date(nowMs).toISOString(),
        expiresAt: new Date(nowMs + quoteLifeMs).toISOString(),
        ...overrides,
      };
      quotes.set(quote.id, quote);
      return quote.id;
    },
    remove: (quoteId) => void quotes.delete(quoteId),
  };
  return fake;
}

export interface FakePayments {
  port: PaymentAuthorisations;
  /** Answers reads of authorisation states. Replace it to change the answer. */
  respond: (tripId: TripId, withinMs: number) => Promise<AuthorisationState>;
}

function createFakePayments(): FakePayments {
  const fake: FakePayments = {
    respond: async () => 'authorised',
    port: { waitForState: (tripId, withinMs) => fake.respond(tripId, withinMs) },
  };
  return fake;
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
