import { timestamp } from '@contracts/common.ts';
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
import { type Cache, createReadThrough } from '@platform/cache.ts';
import type { Clock } from '@platform/clock.ts';
import { readCursor, writeCursor } from '@platform/http/cursor.ts';
import type { Ids } from '@platform/ids.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Session } from '@platform/postgres/session.ts';
import type { IdempotencyKey } from '@platform/postgres/statements.ts';
import type { Router } from '@platform/routing.ts';
import { fault } from './errors.ts';
import { fareOf } from './fares.ts';
import { driverAccount } from './ledger.ts';
import { showPayment, showPaymentToRider, showReceipt, type Viewer } from './payments.ts';
import type { PaymentProvider } from './provider.ts';
import { showMethod } from './store/methods.ts';
import type { PaymentStore } from './store.ts';
import { tariffs } from './tariffs.ts';

export interface PaymentServiceOptions {
  store: PaymentStore;
  provider: PaymentProvider;
  cache: Cache;
  router: Router;
  clock: Clock;
  ids: Ids;
  metrics: Metrics;
  defaultCurrency: Currency;
  quoteMs: number;
  distanceMetresMax: number;
  methodsMax: number;
}

/** One page of a list: what was asked for, or the default. */
export interface PageAsked {
  limit?: number | undefined;
  cursor?: string | undefined;
}

export type PaymentService = ReturnType<typeof createPaymentService>;

const pageSizeDefault = 20;
const distanceMetresMin = 1;

export function createPaymentService(options: PaymentServiceOptions) {
  return { ...quoting(options), ...methods(options), ...reading(options) };
}

function quoting(options: PaymentServiceOptions) {
  const { store, cache, router, clock, ids, metrics, defaultCurrency, quoteMs, distanceMetresMax } = options;
  const cached = createReadThrough({ cache, metrics, name: 'quotes', schema: Quote });

  return {
    /**
     * A fare that binds for `quoteMs`. Throws `payment_method.required`, `payment_method.not_found`,
     * `payment.debt_outstanding`, `quote.distance_invalid`, `idempotency.key_reused`.
     */
    quote: (riderId: RiderId, body: QuoteBody, key: IdempotencyKey): Promise<Quote> =>
      store.once(key, async () => {
        const [paymentMethodId, debt] = await Promise.all([
          store.methods.pick(riderId, body.paymentMethodId),
          store.payments.findDebt(riderId),
        ]);
        if (paymentMethodId === undefined) {
          throw fault(
            body.paymentMethodId === undefined ? 'payment_method.required' : 'payment_method.not_found',
          );
        }
        if (debt !== undefined)
          throw fault('payment.debt_outstanding', { detail: `payment ${debt} is owed` });
        const quote = await price(riderId, body, paymentMethodId);
        if (!(await store.quotes.create(key, quote))) return undefined;
        // A trip asks for it in a moment, and would wait for the database instead. Only what was stored goes in.
        await cached.put(quote.id, quote, quoteMs);
        return quote;
      }),

    /** The quote if it is this rider's, expired or not, with what the rider owes. Throws `quote.not_found`. */
    async quoteForTrip(id: QuoteId, riderId: RiderId): Promise<QuoteForTrip> {
      const [quote, debtPaymentId = null] = await Promise.all([
        findQuote(id, riderId),
        store.payments.findDebt(riderId),
      ]);
      return { quote, debtPaymentId };
    },
  };

  async function findQuote(id: QuoteId, riderId: RiderId): Promise<Quote> {
    // Quotes never change, so a copy of any age is right.
    const quote = await cached.get(id, quoteMs, () => store.quotes.find(id));
    if (quote?.riderId !== riderId) throw fault('quote.not_found');
    return quote;
  }

  async function price(riderId: RiderId, body: QuoteBody, paymentMethodId: PaymentMethodId): Promise<Quote> {
    const { pickup, dropoff, product, currency = defaultCurrency } = body;
    const nowMs = clock.nowMs();
    // The straight line first: no road is shorter, and a router need not be asked for another continent.
    assertDistance(distanceMetres(pickup, dropoff));
    const route = await router.route(pickup, dropoff, nowMs);
    assertDistance(route.distanceMetres);
    const { totalMinor, lines } = fareOf(
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
      createdAt: timestamp(nowMs),
      expiresAt: timestamp(nowMs + quoteMs),
    };
  }

  function assertDistance(metres: number): void {
    if (metres >= distanceMetresMin && metres <= distanceMetresMax) return;
    throw fault('quote.distance_invalid', {
      detail: `a ride is ${distanceMetresMin} m to ${distanceMetresMax / 1_000} km long`,
    });
  }
}

function methods({ store, provider, clock, ids, methodsMax }: PaymentServiceOptions) {
  return {
    /** Throws `payment_method.token_unknown`, `payment_method.too_many`, `idempotency.key_reused`. */
    addMethod: (riderId: RiderId, token: string, key: IdempotencyKey): Promise<PaymentMethod> =>
      store.once(key, async () => {
        const [card, count] = await Promise.all([provider.describe(token), store.methods.count(riderId)]);
        if (card === undefined) throw fault('payment_method.token_unknown');
        // A bound against growth, not a promise: riders who race themselves may pass it by a few.
        if (count >= methodsMax) throw fault('payment_method.too_many');
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
    async listMethods(riderId: RiderId, asked: PageAsked, session: Session) {
      const { rows, nextCursor } = await page(
        asked,
        (cursor, limit) => store.methods.list(riderId, cursor, limit, session),
        ({ createdAtMs, id }) => ({ atMs: createdAtMs, id }),
      );
      return { items: rows.map(showMethod), nextCursor };
    },
  };
}

function reading({ store }: PaymentServiceOptions) {
  return {
    /** Throws `payment.not_found`. */
    async payment(id: PaymentId, viewer: Viewer, session: Session): Promise<Payment> {
      const found = await store.payments.view(id, viewer, session);
      if (found === undefined) throw fault('payment.not_found');
      return showPayment(found, viewer);
    },

    /** Newest first. */
    async payments(
      riderId: RiderId,
      { status, ...asked }: PageAsked & { status?: PaymentStatus | undefined },
      session: Session,
    ) {
      const { rows, nextCursor } = await page(
        asked,
        (cursor, limit) => store.payments.list(riderId, { status, cursor, limit }, session),
        ({ createdAtMs, id }) => ({ atMs: createdAtMs, id }),
      );
      return { items: rows.map(showPaymentToRider), nextCursor };
    },

    /** Throws `receipt.not_found`, also while the trip has not ended. */
    async receipt(tripId: TripId, viewer: Viewer, session: Session): Promise<Receipt> {
      const found = await store.payments.findByTrip(tripId, viewer, session);
      if (found === undefined) throw fault('receipt.not_found');
      return showReceipt(found, found);
    },

    /** The driver's account: balances now, entries newest first. */
    async earnings(driverId: DriverId, asked: PageAsked, session: Session): Promise<Earnings> {
      const account = driverAccount(driverId);
      let balances: Earnings['balances'] = [];
      const { rows, nextCursor } = await page(
        asked,
        async (cursor, limit) => {
          const found = await store.ledger.page(account, cursor, limit, session);
          balances = found.balances;
          return found.entries;
        },
        ({ atMs, transferId }) => ({ atMs, id: transferId }),
      );
      const items = rows.map(({ tripId, kind, amountMinor, currency, atMs }) => ({
        tripId,
        kind: kind === 'refund' ? ('refund' as const) : ('fare' as const),
        amount: { amountMinor, currency },
        at: timestamp(atMs),
      }));
      return { balances, items, nextCursor };
    },
  };
}

/** Reads one row more than a page holds: whether there is a next page is known without counting. */
async function page<Row>(
  { limit = pageSizeDefault, cursor }: PageAsked,
  read: (after: ReturnType<typeof readCursor>, limit: number) => Promise<Row[]>,
  placeOf: (row: Row) => { atMs: number; id: string },
): Promise<{ rows: Row[]; nextCursor: string | null }> {
  const found = await read(readCursor(cursor), limit + 1);
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  return { rows, nextCursor: found.length > limit && last !== undefined ? writeCursor(placeOf(last)) : null };
}
