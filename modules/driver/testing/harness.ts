import { headers } from '@contracts/common.ts';
import type { EventType, TripSnapshot } from '@contracts/events.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import type { Role } from '@contracts/people.ts';
import type { Bus } from '@platform/bus/bus.ts';
import { createMemoryBus } from '@platform/bus/memory.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { createIds, type Ids } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics, type Metrics } from '@platform/metrics.ts';
import { createDatabase, type Database } from '@platform/postgres/database.ts';
import { systemRandom } from '@platform/random.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestHttpApp } from '@testing/http-app.ts';
import { createTestDatabase } from '@testing/postgres.ts';
import { testServiceCredentials, testServiceGuard } from '@testing/service-auth.ts';
import { createTestTokens, type TestTokens } from '@testing/tokens.ts';
import { createDriverContext, type DriverContext } from '../context.ts';
import type { DriverTripEvent } from '../events.ts';
import type { Followers } from '../ports.ts';
import type { PositionIndex, PositionIndexDeps } from '../positions/index.ts';
import { createMemoryPositionIndex } from '../positions/memory.ts';
import { driverSettings, positionRulesOf } from '../settings.ts';

export interface TestDriverOptions {
  /** Creates the position index; in memory by default. */
  index?: (options: PositionIndexDeps) => PositionIndex;
  /** A database of its own by default. */
  databaseUrl?: string;
  settings?: Record<string, string>;
  /** Positions are dropped by default. */
  followers?: Followers;
}

export interface DriverResponse {
  status: number;
  headers: Headers;
  /** The parsed body; undefined when the response has none. */
  json: unknown;
  /** The problem code, if any. */
  code: string | undefined;
}

export interface TestDriver {
  clock: ManualClock;
  ids: Ids;
  context: DriverContext;
  index: PositionIndex;
  database: Database;
  bus: Bus;
  metrics: Metrics;
  tokens: TestTokens;
  /**
   * Sends `body` as JSON (a string is sent unchanged). `as` authenticates the request as a person; internal paths
   * carry a service token.
   */
  send(
    method: string,
    path: string,
    options?: { body?: unknown; as?: readonly [string, Role] },
  ): Promise<DriverResponse>;
  /** Calls the app directly, for clients of other contexts. */
  fetch(request: Request): Promise<Response>;
  /** Creates an available driver with a car. */
  createAvailableDriver(): Promise<DriverId>;
  close(): Promise<void>;
}

export const testVehicle = {
  product: 'car',
  plate: '51A-123.45',
  model: 'Toyota Vios',
  colour: 'white',
} as const;

/** Creates the driver context with its own database, a manual clock and a bus in memory. */
export async function createTestDriver(options: TestDriverOptions = {}): Promise<TestDriver> {
  const clock = createManualClock(Date.parse('2026-11-22T08:00:00Z'));
  const log = createLog('silent');
  const ids = createIds(clock, systemRandom);
  const metrics = createMetrics();
  const tokens = createTestTokens(clock);
  const testDatabase = options.databaseUrl === undefined ? await createTestDatabase() : undefined;
  const database = createDatabase({
    url: testDatabase?.url ?? options.databaseUrl ?? '',
    schema: 'driver',
    poolMax: 8,
    statementTimeoutMs: 5_000,
    log,
  });
  const settings = loadConfig(driverSettings, options.settings ?? {});
  const index = (options.index ?? createMemoryPositionIndex)({ clock, ...positionRulesOf(settings) });
  const bus = createMemoryBus({ clock, random: systemRandom, log });
  const context = createDriverContext({
    database,
    bus,
    index,
    followers: options.followers ?? { sendPositions: async () => {} },
    clock,
    log,
    metrics,
    guard: tokens.guard,
    serviceGuard: testServiceGuard('driver', clock),
    settings,
  });
  await context.prepare();
  const app = createTestHttpApp({
    service: 'driver',
    clock,
    ids,
    log,
    metrics,
    readinessChecks: context.readinessChecks,
  })
    .use(context.routes)
    .use(context.internalRoutes);

  const services = testServiceCredentials(clock);
  const send: TestDriver['send'] = async (method, path, { body, as } = {}) => {
    const requestHeaders = new Headers(as === undefined ? {} : tokens.bearer(as[0], as[1]));
    if (path.startsWith('/internal/')) requestHeaders.set(headers.serviceToken, services.tokenFor('driver'));
    if (body !== undefined) requestHeaders.set('content-type', 'application/json');
    const requestBody = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await app.handle(
      new Request(`http://localhost${path}`, {
        method,
        headers: requestHeaders,
        ...(requestBody === undefined ? {} : { body: requestBody }),
      }),
    );
    const text = await response.text();
    const json: unknown = text === '' ? undefined : JSON.parse(text);
    const code = typeof json === 'object' && json !== null && 'code' in json ? String(json.code) : undefined;
    return { status: response.status, headers: response.headers, json, code };
  };

  return {
    clock,
    ids,
    context,
    index,
    database,
    bus,
    metrics,
    tokens,
    send,
    fetch: async (request) => app.handle(request),
    async createAvailableDriver() {
      const driverId = ids<DriverId>();
      const as = [driverId, 'driver'] as const;
      await send('PUT', '/v1/drivers/me/vehicle', { as, body: testVehicle });
      const { status } = await send('PUT', '/v1/drivers/me/status', { as, body: { status: 'available' } });
      if (status !== 200) throw new Error(`the driver could not become available: ${status}`);
      return driverId;
    },
    async close() {
      await bus.close();
      await database.close();
      await testDatabase?.drop();
    },
  };
}

/** Creates a trip event about one driver, with the fields that the driver context reads. */
export function sampleDriverTripEvent(
  type: Extract<EventType, DriverTripEvent['type']>,
  driverId: DriverId,
  tripId: TripId,
  { version, atMs }: { version: number; atMs: number },
): DriverTripEvent {
  const isOffer = type.startsWith('trip.offer');
  const event = sampleTripEvent({ type, subject: tripId, version, timeMs: atMs });
  const offered: Partial<TripSnapshot> = {
    driverId: null,
    offeredDriverId: driverId,
    offerExpiresAt: new Date(atMs + 15_000).toISOString(),
  };
  const assigned: Partial<TripSnapshot> = { driverId, offeredDriverId: null, offerExpiresAt: null };
  const replaced: Partial<TripSnapshot> = { ...assigned, driverId: null, replacedDriverId: driverId };
  const named = type === 'trip.driver_replaced.v1' ? replaced : isOffer ? offered : assigned;
  return { ...event, data: { ...event.data, tripId, ...named } };
}
