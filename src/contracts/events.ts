import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Nullable, Timestamp } from './common.ts';
import { Product, Vehicle } from './drivers.ts';
import { LatLng } from './geo.ts';
import {
  DriverIdSchema,
  type EventId,
  PaymentIdSchema,
  PaymentMethodIdSchema,
  PersonIdSchema,
  QuoteIdSchema,
  RiderIdSchema,
  TripIdSchema,
} from './ids.ts';
import { Money } from './money.ts';
import { FareLine, PaymentStatus } from './payments.ts';
import { Role } from './people.ts';
import { Actor, DriverProfile, FareRule, RiderProfile, TripStatus } from './trips.ts';

/**
 * A trip right after the transition that the event's type names. All trip events share this shape, so a consumer
 * that handles them late or out of order compares `version` and needs no earlier event.
 */
export const TripSnapshot = Type.Object({
  tripId: TripIdSchema,
  version: Type.Integer({ minimum: 1 }),
  status: TripStatus,
  riderId: RiderIdSchema,
  /** The assigned driver; kept after the trip has ended. */
  driverId: Nullable(DriverIdSchema),
  vehicle: Nullable(Vehicle),
  /** How the rider and the driver appear to each other; absent in old events. */
  rider: Type.Optional(RiderProfile),
  driver: Type.Optional(Nullable(DriverProfile)),
  /** The driver whose offer this event makes or ends; null in other events. */
  offeredDriverId: Nullable(DriverIdSchema),
  offerExpiresAt: Nullable(Timestamp),
  /** The driver who was taken off the trip; present in `trip.driver_replaced` only. */
  replacedDriverId: Type.Optional(DriverIdSchema),
  quoteId: QuoteIdSchema,
  paymentMethodId: PaymentMethodIdSchema,
  product: Product,
  pickup: LatLng,
  dropoff: LatLng,
  distanceMetres: Type.Integer(),
  durationSeconds: Type.Integer(),
  fare: Money,
  fareLines: Type.Array(FareLine),
  endedBy: Nullable(Actor),
  reason: Nullable(Type.String()),
  /** When the trip started; present in the event that ends it. */
  startedAt: Type.Optional(Timestamp),
  /** How the trip is charged; present in `trip.completed`. Absent in old events, which are `quoted`. */
  fareRule: Type.Optional(FareRule),
  at: Timestamp,
});
export type TripSnapshot = Static<typeof TripSnapshot>;

export const PaymentSnapshot = Type.Object({
  paymentId: PaymentIdSchema,
  tripId: TripIdSchema,
  riderId: RiderIdSchema,
  /** Null until the trip is completed. */
  driverId: Nullable(DriverIdSchema),
  status: PaymentStatus,
  amount: Money,
  refunded: Money,
  failureReason: Nullable(Type.String()),
  at: Timestamp,
});
export type PaymentSnapshot = Static<typeof PaymentSnapshot>;

/**
 * The last login session of an account has ended, or the account was banned. Sessions that expire unused publish
 * nothing. `at` is when it happened: actions of the person after that time remain valid.
 */
export const SignedOut = Type.Object({
  personId: PersonIdSchema,
  role: Role,
  cause: Type.Union([
    Type.Literal('logout'),
    Type.Literal('banned'),
    /** A refresh token was used twice, so it may be stolen. */
    Type.Literal('reuse'),
    Type.Literal('credentials_changed'),
  ]),
  at: Timestamp,
});
export type SignedOut = Static<typeof SignedOut>;

/** Every event of the system: its versioned type, which is also its routing key, and the schema of its data. */
export const eventSchemas = {
  'trip.requested.v1': TripSnapshot,
  'trip.offered.v1': TripSnapshot,
  'trip.offer_declined.v1': TripSnapshot,
  'trip.offer_lapsed.v1': TripSnapshot,
  'trip.assigned.v1': TripSnapshot,
  'trip.driver_replaced.v1': TripSnapshot,
  'trip.arrived.v1': TripSnapshot,
  'trip.started.v1': TripSnapshot,
  'trip.completed.v1': TripSnapshot,
  'trip.cancelled.v1': TripSnapshot,
  'trip.unfulfilled.v1': TripSnapshot,
  'payment.declined.v1': PaymentSnapshot,
  'payment.captured.v1': PaymentSnapshot,
  'payment.failed.v1': PaymentSnapshot,
  'payment.refunded.v1': PaymentSnapshot,
  'payment.voided.v1': PaymentSnapshot,
  'user.signed_out.v1': SignedOut,
} as const satisfies Record<string, TSchema>;

export type EventType = keyof typeof eventSchemas;
export type EventData<T extends EventType> = Static<(typeof eventSchemas)[T]>;
export type TripEventType = Extract<EventType, `trip.${string}`>;
export type PaymentEventType = Extract<EventType, `payment.${string}`>;
export type UserEventType = Extract<EventType, `user.${string}`>;

/** An event as it is published: CloudEvents attributes beside its data. A union over all types. */
export type DomainEvent<T extends EventType = EventType> = {
  [K in T]: {
    id: EventId;
    type: K;
    /** The context that published it. */
    source: string;
    /** The id of the aggregate. Events of one subject are delivered in order. */
    subject: string;
    time: Timestamp;
    traceparent?: string;
    data: EventData<K>;
  };
}[T];
