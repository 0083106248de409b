import { TypeCompiler } from '@sinclair/typebox/compiler';
import { createTripCreation } from '../../modules/trip/creation/create-trip.ts';
import type { FareQuotes } from '../../modules/trip/ports.ts';
import { tripPolicyOf, tripSettings } from '../../modules/trip/settings.ts';
import { createTripStore } from '../../modules/trip/store/store.ts';
import { createSampleQuote } from '../../modules/trip/testing/sample-quote.ts';
import { asPersonId, type QuoteId, type RiderId } from '../../src/contracts/ids.ts';
import type { Quote } from '../../src/contracts/payments.ts';
import { CreateTripBody } from '../../src/contracts/trips.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { loadConfig } from '../../src/platform/config.ts';
import { readIdempotencyKey } from '../../src/platform/http/idempotency.ts';
import { createIds, type Ids } from '../../src/platform/ids.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { Database } from '../../src/platform/postgres/database.ts';
import { systemRandom } from '../../src/platform/random.ts';

export const ids = createIds(systemClock, systemRandom);
/** Creates a quote without the payment service. */
export const createFakeQuote = (id: QuoteId, riderId: RiderId, newId: Ids = ids): Quote => ({
  ...createSampleQuote(riderId, systemClock.nowMs(), newId),
  id,
});

/** Returns a quote for every request, as the quote cache does. */
export const fakeQuotes: FareQuotes = {
  find: async (quoteId, riderId) => ({ quote: createFakeQuote(quoteId, riderId), debtPaymentId: null }),
};

/**
 * Returns a function that creates a trip for a new rider with a new quote, as the route does: it checks the
 * body, reads the idempotency key and calls the use case. Relay and dispatch are left out.
 */
export function createTripUseCase(
  database: Database,
  env: Record<string, string> = {},
): () => Promise<unknown> {
  const settings = loadConfig(tripSettings, env);
  const create = createTripCreation({
    store: createTripStore(database),
    quotes: fakeQuotes,
    clock: systemClock,
    random: systemRandom,
    ids,
    log: createLog('error'),
    metrics: createMetrics(),
    policy: tripPolicyOf(settings),
    settings,
    assertRoom: () => undefined,
    onEventWritten: () => undefined,
    dispatchIfNeeded: async () => undefined,
  });
  const body = TypeCompiler.Compile(CreateTripBody);
  return async () => {
    const riderId = ids<RiderId>();
    const input: unknown = { quoteId: ids<QuoteId>() };
    if (!body.Check(input)) throw new Error('the body is invalid');
    const request = new Request('http://trip.bench/v1/trips', {
      method: 'POST',
      headers: { 'idempotency-key': ids() },
    });
    const key = readIdempotencyKey(request, input, asPersonId(riderId), ids);
    return create({ actor: 'rider', id: riderId, name: 'Rider' }, input.quoteId, key);
  };
}
