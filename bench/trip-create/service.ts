// The trip service alone, in its own process, with its real routes, store and limits. Quotes are fake,
// there is no dispatch, and the bearer token is the rider's id, which is as cheap as a cached token.
import { createTripContext } from '../../modules/trip/context.ts';
import { tripSettings } from '../../modules/trip/settings.ts';
import type { PersonId } from '../../src/contracts/ids.ts';
import { createGuard } from '../../src/platform/auth/guard.ts';
import { createServiceGuard } from '../../src/platform/auth/service-tokens.ts';
import { createMemoryBus } from '../../src/platform/bus/memory.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { loadConfig } from '../../src/platform/config.ts';
import { createHttpApp } from '../../src/platform/http/app.ts';
import { serve } from '../../src/platform/http/server.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { createDatabase } from '../../src/platform/postgres/database.ts';
import { systemRandom as random } from '../../src/platform/random.ts';
import { createStraightLineRouter } from '../../src/platform/routing/router.ts';
import { fakeQuotes, ids } from './use-case.ts';

const bodyBytesMax = 65_536;

async function main(): Promise<void> {
  const [log, metrics] = [createLog('error'), createMetrics()];
  const url = process.env.DATABASE_URL ?? '';
  const database = createDatabase({ url, schema: 'trip', poolMax: 24, statementTimeoutMs: 5_000, log });
  const trip = createTripContext({
    database,
    bus: createMemoryBus({ clock, random, log }),
    clock,
    random,
    ids,
    log,
    metrics,
    guard: createGuard({
      verify: async (token) => ({
        id: token as PersonId,
        role: 'rider',
        name: 'Rider',
        sessionId: token,
        expiresAtMs: Infinity,
      }),
    }),
    serviceGuard: createServiceGuard({ secret: 'no service calls this one', service: 'trip', clock }),
    settings: loadConfig(tripSettings, {}),
    drivers: {
      findCandidates: async () => [],
      hold: async () => ({ held: false }),
      release: async () => undefined,
      findLastPositionAtMs: async () => null,
    },
    quotes: fakeQuotes,
    authorisations: { waitForState: async () => 'authorised' },
    router: createStraightLineRouter('Asia/Ho_Chi_Minh'),
  });
  await trip.prepare();
  const app = createHttpApp({
    service: 'trip',
    clock,
    ids,
    log,
    metrics,
    isAccepting: () => true,
    readinessChecks: trip.readinessChecks,
    accessLog: false,
    bodyBytesMax,
  })
    .use(trip.routes)
    .compile();
  const server = serve({
    fetch: app.fetch,
    sockets: [],
    hostname: '127.0.0.1',
    port: 0,
    requestTimeoutMs: 10_000,
    bodyBytesMax,
    frameBytesMax: 1_024,
    socketBufferBytesMax: 65_536,
  });
  console.log(server.url);
}

if (import.meta.main) void main();
