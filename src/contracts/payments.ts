import { type Static, Type } from '@sinclair/typebox';
import { Nullable, PageQuery, pageSizeMax, QueryInteger, Timestamp } from './common.ts';
import { Product } from './drivers.ts';
import { LatLng } from './geo.ts';
import {
  DriverIdSchema,
  PaymentIdSchema,
  PaymentMethodIdSchema,
  QuoteIdSchema,
  RefundIdSchema,
  RiderIdSchema,
  TripIdSchema,
} from './ids.ts';
import { Currency, Money } from './money.ts';
import { Text } from './text.ts';

export const PaymentMethod = Type.Object({
  id: PaymentMethodIdSchema,
  kind: Type.Literal('card'),
  label: Type.String({ description: 'brand and last four digits, for display' }),
  createdAt: Timestamp,
});
export type PaymentMethod = Static<typeof PaymentMethod>;

/** `token` is the payment provider's token for the card; card numbers never reach this system. */
export const AddPaymentMethodBody = Type.Object(
  { kind: Type.Literal('card'), token: Type.String({ pattern: '^tok_[a-z0-9_]{1,60}$' }) },
  { additionalProperties: false },
);

export const QuoteBody = Type.Object(
  {
    pickup: LatLng,
    dropoff: LatLng,
    product: Product,
    currency: Type.Optional(Currency),
    paymentMethodId: Type.Optional(PaymentMethodIdSchema),
  },
  { additionalProperties: false },
);
export type QuoteBody = Static<typeof QuoteBody>;

export const FareLine = Type.Object({
  kind: Type.Union([
    Type.Literal('base'),
    Type.Literal('distance'),
    Type.Literal('time'),
    Type.Literal('minimum'),
    Type.Literal('rounding'),
  ]),
  amountMinor: Type.Integer(),
});
export type FareLine = Static<typeof FareLine>;

/** A fare that is guaranteed until `expiresAt`. A quote never changes, is used by one trip, and is the most that the trip costs by default. */
export const Quote = Type.Object({
  id: QuoteIdSchema,
  riderId: RiderIdSchema,
  product: Product,
  pickup: LatLng,
  dropoff: LatLng,
  distanceMetres: Type.Integer(),
  durationSeconds: Type.Integer(),
  fare: Money,
  lines: Type.Array(FareLine),
  paymentMethodId: PaymentMethodIdSchema,
  createdAt: Timestamp,
  expiresAt: Timestamp,
});
export type Quote = Static<typeof Quote>;

/** A quote as the trip context reads it. `debtPaymentId` is an unpaid payment that the rider must settle first. */
export const QuoteForTrip = Type.Object({ quote: Quote, debtPaymentId: Nullable(PaymentIdSchema) });
export type QuoteForTrip = Static<typeof QuoteForTrip>;

/**
 * `none`: nothing is authorised on the card yet. `declined`: the card was declined before the trip was completed.
 * `failed`: a completed trip could not be charged, so the rider owes the fare. `voided`: the trip ended without a
 * charge, and no authorisation is left.
 */
export const PaymentStatus = Type.Union([
  Type.Literal('none'),
  Type.Literal('authorised'),
  Type.Literal('declined'),
  Type.Literal('captured'),
  Type.Literal('failed'),
  Type.Literal('refunded'),
  Type.Literal('voided'),
]);
export type PaymentStatus = Static<typeof PaymentStatus>;

const sharedPaymentFields = {
  id: PaymentIdSchema,
  tripId: TripIdSchema,
  status: PaymentStatus,
  /** The quoted fare until the trip is completed, then the final fare. */
  amount: Money,
  refunded: Money,
  createdAt: Timestamp,
  updatedAt: Timestamp,
};
const riderPaymentFields = { failureReason: Nullable(Type.String()) };
const operatorPaymentFields = {
  riderId: RiderIdSchema,
  /** Null until the trip is completed. */
  driverId: Nullable(DriverIdSchema),
};
/** A payment as the driver of its trip sees it. */
export const DriverPayment = Type.Object(sharedPaymentFields);
/** A payment as its rider sees it, including why it failed. */
export const RiderPayment = Type.Object({ ...sharedPaymentFields, ...riderPaymentFields });
export type RiderPayment = Static<typeof RiderPayment>;
/** A payment as operators see it. */
export const OperatorPayment = Type.Object({
  ...sharedPaymentFields,
  ...riderPaymentFields,
  ...operatorPaymentFields,
});
export type OperatorPayment = Static<typeof OperatorPayment>;
/** Any view of a payment, for readers that do not depend on whose view it is. */
export const Payment = Type.Object({
  ...sharedPaymentFields,
  ...Type.Partial(Type.Object({ ...riderPaymentFields, ...operatorPaymentFields })).properties,
});
export type Payment = Static<typeof Payment>;

export const PaymentsQuery = Type.Composite([
  PageQuery,
  Type.Object({ status: Type.Optional(PaymentStatus) }),
]);

export const PayBody = Type.Object(
  { paymentMethodId: PaymentMethodIdSchema },
  { additionalProperties: false },
);

/** The state of the authorisation of a trip's fare; `pending` also when the trip is not known yet. */
export const AuthorisationState = Type.Union([
  Type.Literal('authorised'),
  Type.Literal('declined'),
  Type.Literal('pending'),
]);
export type AuthorisationState = Static<typeof AuthorisationState>;

/** The longest time, in milliseconds, that a request waits for an authorisation. */
export const authorisationWaitMsMax = 2_000;

export const RefundBody = Type.Object(
  {
    amountMinor: Type.Optional(
      Type.Integer({ minimum: 1, description: 'the whole remaining amount when absent' }),
    ),
    reason: Text(200),
  },
  { additionalProperties: false },
);
export const Refund = Type.Object({
  id: RefundIdSchema,
  paymentId: PaymentIdSchema,
  amount: Money,
  reason: Type.String(),
  createdAt: Timestamp,
});
export type Refund = Static<typeof Refund>;

/** The receipt of a completed trip, for its rider and its driver. `distanceMetres` is the distance that was charged. */
export const Receipt = Type.Object({
  tripId: TripIdSchema,
  paymentId: PaymentIdSchema,
  status: PaymentStatus,
  product: Product,
  distanceMetres: Type.Integer(),
  durationSeconds: Type.Integer(),
  lines: Type.Array(FareLine),
  total: Money,
  refunded: Money,
  completedAt: Timestamp,
  capturedAt: Nullable(Timestamp),
});
export type Receipt = Static<typeof Receipt>;

export const EarningsQuery = Type.Object({
  limit: QueryInteger(1, pageSizeMax, 20),
  cursor: Type.Optional(Type.String({ maxLength: 200 })),
});
/** A driver's ledger account: fares less commission and refunds. */
export const Earnings = Type.Object({
  balances: Type.Array(Money),
  items: Type.Array(
    Type.Object({
      tripId: TripIdSchema,
      kind: Type.Union([Type.Literal('fare'), Type.Literal('refund')]),
      amount: Money,
      at: Timestamp,
    }),
  ),
  nextCursor: Nullable(Type.String()),
});
export type Earnings = Static<typeof Earnings>;
