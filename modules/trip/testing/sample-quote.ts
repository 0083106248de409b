import type { PaymentMethodId, QuoteId, RiderId } from '@contracts/ids.ts';
import type { Quote } from '@contracts/payments.ts';
import type { Ids } from '@platform/ids.ts';

const quoteLifeMs = 5 * 60_000;

/** A quote as the payment context gives one: a car across Ho Chi Minh City. */
export const createSampleQuote = (riderId: RiderId, nowMs: number, ids: Ids): Quote => ({
  id: ids<QuoteId>(),
  riderId,
  product: 'car',
  pickup: { lat: 10.7725, lng: 106.698 },
  dropoff: { lat: 10.8188, lng: 106.6519 },
  distanceMetres: 9_400,
  durationSeconds: 1_500,
  fare: { amountMinor: 128_000, currency: 'VND' },
  lines: [
    { kind: 'base', amountMinor: 28_000 },
    { kind: 'distance', amountMinor: 100_000 },
  ],
  paymentMethodId: ids<PaymentMethodId>(),
  createdAt: new Date(nowMs).toISOString(),
  expiresAt: new Date(nowMs + quoteLifeMs).toISOString(),
});
