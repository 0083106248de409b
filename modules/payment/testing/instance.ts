import type { TrackSummary } from '@contracts/drivers.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Cache } from '@platform/cache/cache.ts';
import { createMemoryCache } from '@platform/cache/memory.ts';
import type { ManualClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import { createMetrics, type Metrics } from '@platform/metrics.ts';
import type { Database } from '@platform/postgres/database.ts';
import type { Random } from '@platform/random.ts';
import { createStraightLineRouter } from '@platform/routing/router.ts';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { createTestHttpApp } from '@testing/http-app.ts';
import { testServiceGuard } from '@testing/service-auth.ts';
import type { TestTokens } from '@testing/tokens.ts';
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

const noTrack: TrackSummary = {
  points: 0,
  distanceMetres: 0,
  firstAt: null,
  lastAt: null,
  longestGapSeconds: 0,
};

/** What the instances of one test share. */
export interface SharedParts {
  clock: ManualClock;
  bus: Bus;
  random: Random;
  ids: Ids;
  log: Log;
  tokens: TestTokens;
}

/** Creates an instance of the payment context with its HTTP app; its workers run after `start()`. */
export function createPaymentInstance(
  shared: SharedParts,
  database: Database,
  options: PaymentInstanceOptions,
): PaymentInstance {
  const { bus, random, ids, log, tokens } = shared;
  const clock = options.clock ?? shared.clock;
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
  const app = createTestHttpApp({
    service: 'payment',
    clock,
    ids,
    log,
    metrics,
    readinessChecks: context.readinessChecks,
  })
    .use(context.routes)
    .use(context.internalRoutes);
  return {
    context,
    metrics,
    send: async (method, path, options = {}) =>
      readAnswer(await app.handle(requestOf(method, path, options))),
    async start() {
      for (const worker of context.workers) await worker.start();
    },
    async stop() {
      for (const worker of [...context.workers].reverse()) await worker.stop();
    },
  };
}

function requestOf(method: string, path: string, { body, headers = {} }: SendOptions): Request {
  return new Request(`http://payment.test${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
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
