import { formatTimestamp } from '@contracts/common.ts';
import type { Product } from '@contracts/drivers.ts';
import type { PaymentMethodId, QuoteId, RiderId } from '@contracts/ids.ts';
import type { Currency } from '@contracts/money.ts';
import type { FareLine, Quote } from '@contracts/payments.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { claimIdempotencyKey, type IdempotencyKey, jsonbParameter } from '@platform/postgres/statements.ts';

interface QuoteRow {
  id: QuoteId;
  riderId: RiderId;
  product: Product;
  pickupLat: number;
  pickupLng: number;
  dropoffLat: number;
  dropoffLng: number;
  distanceMetres: number;
  durationSeconds: number;
  currency: Currency;
  fareMinor: number;
  lines: FareLine[];
  paymentMethodId: PaymentMethodId;
  createdAtMs: number;
  expiresAtMs: number;
}

export function createQuoteStore(sql: Sql) {
  return {
    /** Stores the quote as the response for `key`; false when the key was used before. */
    async create(key: IdempotencyKey, quote: Quote): Promise<boolean> {
      const { pickup, dropoff, fare } = quote;
      const createdAtMs = Date.parse(quote.createdAt);
      const rows = await sql`
        with claimed as (${claimIdempotencyKey(sql, key, quote, createdAtMs)})
        insert into quotes
          (id, rider_id, product, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_metres,
           duration_seconds, currency, fare_minor, lines, payment_method_id, created_at_ms, expires_at_ms)
        select ${quote.id}::uuid, ${quote.riderId}::uuid, ${quote.product}::text,
               ${pickup.lat}::float8, ${pickup.lng}::float8, ${dropoff.lat}::float8, ${dropoff.lng}::float8,
               ${quote.distanceMetres}::int, ${quote.durationSeconds}::int,
               ${fare.currency}::text, ${fare.amountMinor}::bigint, ${jsonbParameter(sql, quote.lines)}::jsonb,
               ${quote.paymentMethodId}::uuid, ${createdAtMs}::bigint, ${Date.parse(quote.expiresAt)}::bigint
        from claimed
        returning id`;
      return rows.length > 0;
    },

    /**
     * Deletes at most `rowsMax` quotes that expired before `beforeMs`, and returns the number of deleted
     * rows.
     */
    async deleteExpired(beforeMs: number, rowsMax: number): Promise<number> {
      const swept = await sql`
        delete from quotes where id = any(array(
          select id from quotes where expires_at_ms < ${beforeMs}
          order by expires_at_ms limit ${rowsMax} for update skip locked))`;
      return swept.count;
    },

    async find(id: QuoteId): Promise<Quote | undefined> {
      const [row] = await sql<QuoteRow[]>`
        select id, rider_id as "riderId", product, pickup_lat as "pickupLat", pickup_lng as "pickupLng",
               dropoff_lat as "dropoffLat", dropoff_lng as "dropoffLng", distance_metres as "distanceMetres",
               duration_seconds as "durationSeconds", currency, fare_minor as "fareMinor", lines,
               payment_method_id as "paymentMethodId", created_at_ms as "createdAtMs",
               expires_at_ms as "expiresAtMs"
        from quotes where id = ${id}`;
      return row === undefined ? undefined : quoteOf(row);
    },
  };
}

function quoteOf(row: QuoteRow): Quote {
  const { id, riderId, product, distanceMetres, durationSeconds, lines, paymentMethodId } = row;
  return {
    id,
    riderId,
    product,
    pickup: { lat: row.pickupLat, lng: row.pickupLng },
    dropoff: { lat: row.dropoffLat, lng: row.dropoffLng },
    distanceMetres,
    durationSeconds,
    fare: { amountMinor: row.fareMinor, currency: row.currency },
    lines,
    paymentMethodId,
    createdAt: formatTimestamp(row.createdAtMs),
    expiresAt: formatTimestamp(row.expiresAtMs),
  };
}
