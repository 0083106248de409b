import type { DomainEvent, PaymentEventType, TripSnapshot } from '@contracts/events.ts';
import type { DriverId, PaymentId, PaymentMethodId, RiderId, TripId } from '@contracts/ids.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import { type Bus, done } from '@platform/bus/bus.ts';
import { createMemoryBus } from '@platform/bus/memory.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { createIds, type Ids } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createDatabase, type Database, type Sql } from '@platform/postgres/database.ts';
import { createSeededRandom } from '@platform/random.ts';
import { Type } from '@sinclair/typebox';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestDatabase } from '@testing/postgres.ts';
import { createTestTokens, type TestTokens } from '@testing/tokens.ts';
import { until } from '@testing/until.ts';
import type { PaymentIntent } from '../payment.ts';
import { createPaymentInstance, type PaymentInstance, type PaymentInstanceOptions } from './instance.ts';

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
  /** Creates one more instance and starts it. */
  startInstance(options?: PaymentInstanceOptions): Promise<PaymentInstance>;
  /** The stored payment of a trip. */
  findPayment(tripId: TripId): Promise<StoredPayment | undefined>;
  /** A condition for `until`: the stored payment of the trip once it has the status. */
  hasStatus(tripId: TripId, status: PaymentStatus): () => Promise<StoredPayment | undefined>;
  /** What the simulated provider has on record for a payment, oldest first. */
  listProviderRecords(paymentId: string): Promise<StoredProviderRecord[]>;
  close(): Promise<void>;
}

export interface StoredPayment {
  id: PaymentId;
  status: PaymentStatus;
  intent: PaymentIntent;
  driverId: DriverId | null;
  failureReason: string | null;
  attempt: number;
  attempts: number;
  timerAtMs: number | null;
}

export interface StoredProviderRecord {
  operation: 'authorise' | 'capture' | 'refund' | 'void';
  outcome: 'ok' | 'declined';
  amountMinor: number;
  /** How often the provider was called with the same key. */
  calls: number;
}

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
  const clock = createManualClock(startMs);
  const random = createSeededRandom(7);
  const ids = createIds(clock, random);
  const log = createLog('silent');
  const tokens = createTestTokens(clock);
  const bus = createMemoryBus({ clock, random, log });
  const testDatabase = await createTestDatabase();
  const databases: Database[] = [];
  const startedInstances = new Set<PaymentInstance>();
  const publishedEvents = await recordEvents(bus);

  function open(url: string): Database {
    const database = createDatabase({ url, schema: 'payment', poolMax: 8, statementTimeoutMs: 5_000, log });
    databases.push(database);
    return database;
  }

  function createInstance(options: PaymentInstanceOptions = {}): PaymentInstance {
    const database = open(options.databaseUrl ?? testDatabase.url);
    const instance = createPaymentInstance({ clock, bus, random, ids, log, tokens }, database, options);
    const tracked: PaymentInstance = {
      ...instance,
      async start() {
        startedInstances.add(tracked);
        await instance.start();
      },
      async stop() {
        startedInstances.delete(tracked);
        await instance.stop();
      },
    };
    return tracked;
  }

  await createInstance().context.prepare();
  const sql = open(testDatabase.url).primary;
  return {
    clock,
    bus,
    ids,
    tokens,
    sql,
    databaseUrl: testDatabase.url,
    publishedEvents,
    createInstance,
    async startInstance(options) {
      const instance = createInstance(options);
      await instance.start();
      return instance;
    },
    ...createStoredPaymentReads(sql),
    async close() {
      // A charge in flight may be sleeping on the clock, and its instance waits for it.
      let isStopped = false;
      const stopping = Promise.all([...startedInstances].map((instance) => instance.stop())).then(() => {
        isStopped = true;
      });
      await advanceUntil(clock, () => isStopped, 'the instances to stop');
      await stopping;
      await bus.close();
      await Promise.all(databases.map((database) => database.close()));
      await testDatabase.drop();
    },
  };
}

/** Subscribes to all payment events, and returns the array that they are added to. */
async function recordEvents(bus: Bus): Promise<DomainEvent<PaymentEventType>[]> {
  const events: DomainEvent<PaymentEventType>[] = [];
  await bus.subscribe({
    queue: 'test.payments',
    events: paymentEvents,
    prefetch: 100,
    handle: async ({ event }) => {
      events.push(event);
      return done;
    },
  });
  return events;
}

function createStoredPaymentReads(
  sql: Sql,
): Pick<TestPayment, 'findPayment' | 'hasStatus' | 'listProviderRecords'> {
  async function findPayment(tripId: TripId): Promise<StoredPayment | undefined> {
    const [row] = await sql<StoredPayment[]>`
      select id, status, intent, driver_id as "driverId", failure_reason as "failureReason", attempt, attempts,
             timer_at_ms as "timerAtMs"
      from payments where trip_id = ${tripId}`;
    return row;
  }

  return {
    findPayment,
    hasStatus: (tripId, status) => async () => {
      const payment = await findPayment(tripId);
      return payment?.status === status ? payment : undefined;
    },
    async listProviderRecords(paymentId) {
      return sql<StoredProviderRecord[]>`
        select operation, outcome, amount_minor as "amountMinor", calls from provider_charges
        where reference = ${paymentId} order by at_ms, ref`;
    },
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
