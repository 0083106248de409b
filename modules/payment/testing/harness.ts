import type { TrackSummary } from '@contracts/drivers.ts';
import type { DomainEvent, PaymentEventType, TripSnapshot } from '@contracts/events.ts';
import type { DriverId, PaymentMethodId, RiderId } from '@contracts/ids.ts';
import { type Bus, done } from '@platform/bus/bus.ts';
import { createMemoryBus } from '@platform/bus/memory.ts';
import type { Cache } from '@platform/cache/cache.ts';
import { createMemoryCache } from '@platform/cache/memory.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { createHttpApp } from '@platform/http/app.ts';
import { createIds, type Ids } from '@platform/ids.ts';
import type { Worker } from '@platform/lifecycle.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics, type Metrics } from '@platform/metrics.ts';
import { createDatabase, type Database, type Sql } from '@platform/postgres/database.ts';
import { createSeededRandom } from '@platform/random.ts';
import { createStraightLineRouter } from '@platform/routing/router.ts';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestDatabase } from '@testing/postgres.ts';
import { testServiceGuard } from '@testing/service-auth.ts';
import { createTestTokens, type TestTokens } from '@testing/tokens.ts';
import { until } from '@testing/until.ts';
import { createPaymentContext, type PaymentContext } from '../context.ts';
import type { TripTracks } from '../ports.ts';
import type { PaymentProvider } from '../provider/provider.ts';
import { createSimulatedProvider } from '../provider/simulated.ts';
import { paymentSettings, simulatedProviderSettings } from '../settings.ts';

export interface PaymentInstanceOptions {
  settings?: Record<string, string>;
  cache?: Cache;
  /** Wraps the simulated provider, to lose, delay or count its calls. */
  wrapProvider?: (simulated: PaymentProvider) => PaymentProvider;
  /** By default every track is empty. */
  tracks?: TripTracks;
  /** The URL of the database; by default that of the test database. */
  databaseUrl?: string;
  /**
   * A separate clock that the test does not advance makes the instance hang, like a process that was
   * stopped or killed.
   */
  clock?: ManualClock;
}

export interface PaymentInstance {
  context: PaymentContext;
  metrics: Metrics;
  /** Sends `body` as JSON, or as it is if it is a string. */
  send(method: string, path: string, options?: SendOptions): Promise<Answer>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface SendOptions {
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The body parsed by `schema`; throws when it does not match. */
  as<T extends TSchema>(schema: T): Static<T>;
  /** The code of the problem, if the response is one. */
  code: string | undefined;
}

export interface TestPayment {
  clock: ManualClock;
  bus: Bus;
  ids: Ids;
  tokens: TestTokens;
  /** Queries the payment schema. */
  sql: Sql;
  databaseUrl: string;
  /** Every event that the context has published, in order. */
  publishedEvents: DomainEvent<PaymentEventType>[];
  /** Creates one more instance on the same database; its workers run after `start()`. */
  createInstance(options?: PaymentInstanceOptions): PaymentInstance;
  close(): Promise<void>;
}

const noTrack: TrackSummary = {
  points: 0,
  distanceMetres: 0,
  firstAt: null,
  lastAt: null,
  longestGapSeconds: 0,
};
const startMs = Date.UTC(2026, 10, 22, 8);
const paymentEvents = [
  'payment.declined.v1',
  'payment.captured.v1',
  'payment.failed.v1',
  'payment.refunded.v1',
  'payment.voided.v1',
] as const;

/** Creates the payment context on its own PostgreSQL database, with the bus and the clock in memory. */
export async function createTestPayment(): Promise<TestPayment> {
  const sharedClock = createManualClock(startMs);
  const random = createSeededRandom(7);
  const ids = createIds(sharedClock, random);
  const log = createLog('silent');
  const tokens = createTestTokens(sharedClock);
  const bus = createMemoryBus({ clock: sharedClock, random, log });
  const testDatabase = await createTestDatabase();
  const databases: Database[] = [];
  const running = new Set<() => Promise<void>>();
  const publishedEvents: DomainEvent<PaymentEventType>[] = [];

  await bus.subscribe({
    queue: 'test.payments',
    events: paymentEvents,
    prefetch: 100,
    handle: async ({ event }) => {
      publishedEvents.push(event);
      return done;
    },
  });

  function open(url: string): Database {
    const database = createDatabase({ url, schema: 'payment', poolMax: 8, statementTimeoutMs: 5_000, log });
    databases.push(database);
    return database;
  }

  function createInstance(options: PaymentInstanceOptions = {}): PaymentInstance {
    const clock = options.clock ?? sharedClock;
    const database = open(options.databaseUrl ?? testDatabase.url);
    const metrics = createMetrics();
    const simulated = createSimulatedProvider({
      database,
      clock,
      random,
      ids,
      settings: loadConfig(simulatedProviderSettings, options.settings ?? {}),
    });
    const context = createPaymentContext({
      database,
      bus,
      cache: options.cache ?? createMemoryCache({ clock, entriesMax: 1_000 }),
      provider: options.wrapProvider?.(simulated) ?? simulated,
      tracks: options.tracks ?? { summarise: async () => noTrack },
      router: createStraightLineRouter('Asia/Ho_Chi_Minh'),
      clock,
      random,
      ids,
      log,
      metrics,
      guard: tokens.guard,
      serviceGuard: testServiceGuard('payment', clock),
      settings: loadConfig(paymentSettings, options.settings ?? {}),
    });
    const app = createHttpApp({
      service: 'payment',
      clock,
      ids,
      log,
      metrics,
      isAccepting: () => true,
      readinessChecks: context.readinessChecks,
      accessLog: false,
      bodyBytesMax: 65_536,
    })
      .use(context.routes)
      .use(context.internalRoutes);
    const stop = () => stopAll(context.workers);
    return {
      context,
      metrics,
      send: async (method, path, { body, headers = {} } = {}) =>
        readAnswer(
          await app.handle(
            new Request(`http://payment.test${path}`, {
              method,
              headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
              ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
            }),
          ),
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
    clock: sharedClock,
    bus,
    ids,
    tokens,
    sql: open(testDatabase.url).primary,
    databaseUrl: testDatabase.url,
    publishedEvents,
    createInstance,
    async close() {
      // A charge in flight may be sleeping on the clock, and its instance waits for it.
      let isStopped = false;
      const stopping = Promise.all([...running].map((stop) => stop())).then(() => {
        isStopped = true;
      });
      await advanceUntil(sharedClock, () => isStopped, 'the instances to stop');
      await stopping;
      await bus.close();
      await Promise.all(databases.map((database) => database.close()));
      await testDatabase.drop();
    },
  };
}

async function stopAll(workers: readonly Worker[]): Promise<void> {
  for (const worker of [...workers].reverse()) await worker.stop();
}

const Coded = Type.Object({ code: Type.String() });

async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text();
  const json: unknown = text.startsWith('{') ? JSON.parse(text) : undefined;
  return {
    status: response.status,
    headers: response.headers,
    text,
    as(schema) {
      if (Value.Check(schema, json)) return json;
      throw new Error(`response does not match the schema: ${response.status} ${text}`);
    },
    code: Value.Check(Coded, json) ? json.code : undefined,
  };
}

export type TripCompletedEvent = DomainEvent<'trip.completed.v1'>;

/** The event of a trip that has just been completed, as the trip context publishes it. */
export function createTripCompletedEvent(
  test: Pick<TestPayment, 'clock' | 'ids'>,
  trip: Partial<TripSnapshot> = {},
): TripCompletedEvent {
  const sample = sampleTripEvent({ type: 'trip.completed.v1', timeMs: test.clock.nowMs() });
  const data: TripSnapshot = {
    ...sample.data,
    status: 'completed',
    version: 6,
    tripId: test.ids(),
    riderId: test.ids(),
    driverId: test.ids<DriverId>(),
    // A fare of one line, unless the lines are given.
    ...(trip.fare === undefined ? {} : { fareLines: [{ kind: 'base', amountMinor: trip.fare.amountMinor }] }),
    ...trip,
  };
  return { ...sample, subject: data.tripId, data };
}

/** Creates a rider with a card of the given token. */
export async function createRiderWithCard(
  test: Pick<TestPayment, 'ids' | 'tokens'>,
  instance: PaymentInstance,
  token = 'tok_visa',
): Promise<{ riderId: RiderId; bearer: { authorization: string }; paymentMethodId: PaymentMethodId }> {
  const riderId = test.ids<RiderId>();
  const bearer = test.tokens.bearer(riderId, 'rider');
  const answer = await instance.send('POST', '/v1/payment-methods', {
    body: { kind: 'card', token },
    headers: bearer,
  });
  const { id } = answer.as(Type.Object({ id: Type.Unsafe<PaymentMethodId>(Type.String()) }));
  return { riderId, bearer, paymentMethodId: id };
}

/**
 * Advances the clock in small steps until `condition` holds, so that durable timers and retries become due.
 */
export async function advanceUntil<T>(
  clock: ManualClock,
  condition: () => T | Promise<T>,
  describe: string,
): Promise<Exclude<T, false | null | undefined>> {
  return until(
    async () => {
      await clock.advance(250);
      return condition();
    },
    { describe },
  );
}
