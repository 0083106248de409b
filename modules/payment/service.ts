import { timestamp } from '@contracts/common.ts';
import { distanceMetres } from '@contracts/geo.ts';
import type { DriverId, PaymentId, PaymentMethodId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { Currency } from '@contracts/money.ts';
import {
  type Earnings,
  type Payment,
  type PaymentMethod,
  Quote,
  type QuoteBody,
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
import { showPayment, showReceipt, type Viewer } from './payments.ts';
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
     * `quote.distance_invalid`, `idempotency.key_reused`.
     */
    async quote(riderId: RiderId, body: QuoteBody, key: IdempotencyKey): Promise<Quote> {
      const [given, paymentMethodId] = await Promise.all([
        store.findAnswer<Quote>(key),
        store.methods.pick(riderId, body.paymentMethodId),
      ]);
      if (given !== undefined) return given;
      if (paymentMethodId === undefined) {
        throw fault(
          body.paymentMethodId === undefined ? 'payment_method.required' : 'payment_method.not_found',
        );
      }
      const quote = await price(riderId, body, paymentMethodId);
      if (!(await store.quotes.create(key, quote))) {
        const first = await store.findAnswer<Quote>(key);
        if (first !== undefined) return first;
      }
      // A trip asks for it in a moment, and would wait for the database instead.
      await cached.put(quote.id, quote, quoteMs);
      return quote;
    },

    /** The quote if it is this rider's, expired or not. Throws `quote.not_found`. */
    async findQuote(id: QuoteId, riderId: RiderId): Promise<Quote> {
      // Quotes never change, so a copy of any age is right.
      const quote = await cached.get(id, quoteMs, () => store.quotes.find(id));
      if (quote?.riderId !== riderId) throw fault('quote.not_found');
      return quote;
    },
  };

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
    async addMethod(riderId: RiderId, token: string, key: IdempotencyKey): Promise<PaymentMethod> {
      const [given, card, count] = await Promise.all([
        store.findAnswer<PaymentMethod>(key),
        provider.describe(token),
        store.methods.count(riderId),
      ]);
      if (given !== undefined) return given;
      if (card === undefined) throw fault('payment_method.token_unknown');
      // A bound against growth, not a promise: riders who race themselves may pass it by a few.
      if (count >= methodsMax) throw fault('payment_method.too_many');
      const method = {
        id: ids<PaymentMethodId>(),
        riderId,
        kind: 'card' as const,
        token,
        label: card.label,
        createdAtMs: clock.nowMs(),
      };
      const made = (await store.methods.create(key, method)) ?? (await store.findAnswer<PaymentMethod>(key));
      if (made === undefined) throw new Error('an idempotency key was used, but has no answer');
      return made;
    },

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
        kind: kind === 'capture' ? ('fare' as const) : ('refund' as const),
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
