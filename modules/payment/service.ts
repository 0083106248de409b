import { formatTimestamp } from '@contracts/common.ts';
import { distanceMetres } from '@contracts/geo.ts';
import type { DriverId, PaymentId, PaymentMethodId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Currency } from '@contracts/money.ts';
import {
  type Earnings,
  type Payment,
  type PaymentMethod,
  type PaymentStatus,
  Quote,
  type QuoteBody,
  type QuoteForTrip,
  type Receipt,
} from '@contracts/payments.ts';
import { type Cache, createReadThrough } from '@platform/cache/cache.ts';
import type { Clock } from '@platform/clock.ts';
import { readCursor, writeCursor } from '@platform/http/cursor.ts';
import type { Ids } from '@platform/ids.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { ReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import type { IdempotencyKey } from '@platform/postgres/statements.ts';
import type { RoadRouter } from '@platform/routing/router.ts';
import { paymentProblem } from './errors.ts';
import { calculateFare } from './fares/fare.ts';
import { tariffs } from './fares/tariffs.ts';
import { driverAccountOf } from './ledger/transfers.ts';
import type { PaymentProvider } from './provider/provider.ts';
import { showPaymentMethod } from './store/methods.ts';
import type { PaymentStore } from './store/store.ts';
import { showPayment, showPaymentToRider, showReceipt, type Viewer } from './views.ts';

export interface PaymentServiceDeps {
  store: PaymentStore;
  provider: PaymentProvider;
  cache: Cache;
  router: RoadRouter;
  clock: Clock;
  ids: Ids;
  metrics: Metrics;
  defaultCurrency: Currency;
  quoteValidityMs: number;
  distanceMetresMax: number;
  paymentMethodsMax: number;
}

/** Which page of a list to return; the defaults apply to what is missing. */
export interface PageRequest {
  limit?: number | undefined;
  cursor?: string | undefined;
}

export type PaymentService = ReturnType<typeof createPaymentService>;

const pageSizeDefault = 20;
const distanceMetresMin = 1;

export function createPaymentService(deps: PaymentServiceDeps) {
  return { ...createQuoteUseCases(deps), ...createMethodUseCases(deps), ...createReads(deps) };
}

function createQuoteUseCases(deps: PaymentServiceDeps) {
  const { store, cache, router, clock, ids, metrics, defaultCurrency, quoteValidityMs, distanceMetresMax } =
    deps;
  const quoteCache = createReadThrough({ cache, metrics, name: 'quotes', schema: Quote });

  return {
    /**
     * Creates a quote whose fare is binding until it expires. Throws `payment_method.required`,
     * `payment_method.not_found`, `payment.debt_outstanding`, `quote.distance_invalid`,
     * `idempotency.key_reused`.
     */
    createQuote: (riderId: RiderId, body: QuoteBody, key: IdempotencyKey): Promise<Quote> =>
      store.respondOnce(key, async () => {
        const [paymentMethodId, debtPaymentId] = await Promise.all([
          store.methods.pick(riderId, body.paymentMethodId),
          store.payments.findDebt(riderId),
        ]);
        if (paymentMethodId === undefined) {
          throw paymentProblem(
            body.paymentMethodId === undefined ? 'payment_method.required' : 'payment_method.not_found',
          );
        }
        if (debtPaymentId !== undefined)
          throw paymentProblem('payment.debt_outstanding', {
            detail: `payment ${debtPaymentId} is outstanding`,
          });
        const quote = await priceQuote(riderId, body, paymentMethodId);
        if (!(await store.quotes.create(key, quote))) return undefined;
        // The trip context reads the quote within moments, so it is cached at once to save a database read.
        // Only a stored quote is cached.
        await quoteCache.put(quote.id, quote, quoteValidityMs);
        return quote;
      }),

    /**
     * Finds the rider's quote, expired or not, with the payment that the rider owes, if any. Throws
     * `quote.not_found`.
     */
    async findQuoteForTrip(id: QuoteId, riderId: RiderId): Promise<QuoteForTrip> {
      const [quote, debtPaymentId = null] = await Promise.all([
        findQuote(id, riderId),
        store.payments.findDebt(riderId),
      ]);
      return { quote, debtPaymentId };
    },
  };

  async function findQuote(id: QuoteId, riderId: RiderId): Promise<Quote> {
    // Quotes are immutable, so a cached copy never becomes stale.
    const quote = await quoteCache.get(id, quoteValidityMs, () => store.quotes.find(id));
    if (quote?.riderId !== riderId) throw paymentProblem('quote.not_found');
    return quote;
  }

  async function priceQuote(
    riderId: RiderId,
    body: QuoteBody,
    paymentMethodId: PaymentMethodId,
  ): Promise<Quote> {
    const { pickup, dropoff, product, currency = defaultCurrency } = body;
    const nowMs = clock.nowMs();
    // Checks the straight line first: no road is shorter, so a router is never called for points that are
    // too far apart.
    assertDistance(distanceMetres(pickup, dropoff));
    const route = await router.route(pickup, dropoff, nowMs);
    assertDistance(route.distanceMetres);
    const { totalMinor, lines } = calculateFare(
      tariffs[currency][product],
      route.distanceMetres,
      route.durationSeconds,
    );
    return {
      id: ids<QuoteId>(),
      riderId,
      product,
      pickup,
      dropoff,
      distanceMetres: route.distanceMetres,
      durationSeconds: route.durationSeconds,
      fare: { amountMinor: totalMinor, currency },
      lines,
      paymentMethodId,
      createdAt: formatTimestamp(nowMs),
      expiresAt: formatTimestamp(nowMs + quoteValidityMs),
    };
  }

  function assertDistance(metres: number): void {
    if (metres >= distanceMetresMin && metres <= distanceMetresMax) return;
    throw paymentProblem('quote.distance_invalid', {
      detail: `the distance must be ${distanceMetresMin} m to ${distanceMetresMax / 1_000} km`,
    });
  }
}

function createMethodUseCases({ store, provider, clock, ids, paymentMethodsMax }: PaymentServiceDeps) {
  return {
    /**
     * Adds a payment method. Throws `payment_method.token_unknown`, `payment_method.too_many`,
     * `idempotency.key_reused`.
     */
    addPaymentMethod: (riderId: RiderId, token: string, key: IdempotencyKey): Promise<PaymentMethod> =>
      store.respondOnce(key, async () => {
        const [card, count] = await Promise.all([provider.describeCard(token), store.methods.count(riderId)]);
        if (card === undefined) throw paymentProblem('payment_method.token_unknown');
        // The limit only bounds growth: concurrent requests of one rider may exceed it by a few.
        if (count >= paymentMethodsMax) throw paymentProblem('payment_method.too_many');
        return store.methods.create(key, {
          id: ids<PaymentMethodId>(),
          riderId,
          kind: 'card',
          token,
          label: card.label,
          createdAtMs: clock.nowMs(),
        });
      }),

    /** Newest first. */
    async listPaymentMethods(riderId: RiderId, pageRequest: PageRequest, token: ReadConsistencyToken) {
      const { rows, nextCursor } = await readPage(
        pageRequest,
        (cursor, limit) => store.methods.list(riderId, cursor, limit, token),
        ({ createdAtMs, id }) => ({ atMs: createdAtMs, id }),
      );
      return { items: rows.map(showPaymentMethod), nextCursor };
    },
  };
}

function createReads({ store }: PaymentServiceDeps) {
  return {
    /** Throws `payment.not_found`. */
    async findPayment(id: PaymentId, viewer: Viewer, token: ReadConsistencyToken): Promise<Payment> {
      const found = await store.payments.findVisible(id, viewer, token);
      if (found === undefined) throw paymentProblem('payment.not_found');
      return showPayment(found, viewer);
    },

    /** Newest first. */
    async listPayments(
      riderId: RiderId,
      { status, ...pageRequest }: PageRequest & { status?: PaymentStatus | undefined },
      token: ReadConsistencyToken,
    ) {
      const { rows, nextCursor } = await readPage(
        pageRequest,
        (cursor, limit) => store.payments.list(riderId, { status, cursor, limit }, token),
        ({ createdAtMs, id }) => ({ atMs: createdAtMs, id }),
      );
      return { items: rows.map(showPaymentToRider), nextCursor };
    },

    /** Throws `receipt.not_found`, also before the trip is completed. */
    async findReceipt(tripId: TripId, viewer: Viewer, token: ReadConsistencyToken): Promise<Receipt> {
      const found = await store.payments.findByTrip(tripId, viewer, token);
      if (found === undefined) throw paymentProblem('receipt.not_found');
      return showReceipt(found.payment, found.details);
    },

    /** Reads the driver's account: current balances, and entries with the newest first. */
    async findEarnings(
      driverId: DriverId,
      pageRequest: PageRequest,
      token: ReadConsistencyToken,
    ): Promise<Earnings> {
      const account = driverAccountOf(driverId);
      let balances: Earnings['balances'] = [];
      const { rows, nextCursor } = await readPage(
        pageRequest,
        async (cursor, limit) => {
          const found = await store.ledger.page(account, cursor, limit, token);
          balances = found.balances;
          return found.entries;
        },
        ({ atMs, transferId }) => ({ atMs, id: transferId }),
      );
      const items = rows.map(({ tripId, kind, amountMinor, currency, atMs }) => ({
        tripId,
        kind: kind === 'refund' ? ('refund' as const) : ('fare' as const),
        amount: { amountMinor, currency },
        at: formatTimestamp(atMs),
      }));
      return { balances, items, nextCursor };
    },
  };
}

/** Reads one row more than a page holds, so whether a next page exists is known without a count. */
async function readPage<Row>(
  { limit = pageSizeDefault, cursor }: PageRequest,
  read: (after: ReturnType<typeof readCursor>, limit: number) => Promise<Row[]>,
  cursorOf: (row: Row) => { atMs: number; id: string },
): Promise<{ rows: Row[]; nextCursor: string | null }> {
  const found = await read(readCursor(cursor), limit + 1);
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  return {
    rows,
    nextCursor: found.length > limit && last !== undefined ? writeCursor(cursorOf(last)) : null,
  };
}
