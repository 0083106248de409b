import { type Static, Type } from '@sinclair/typebox';
import { Nullable, Timestamp } from './common.ts';
import { Product, Vehicle } from './drivers.ts';
import { LatLng } from './geo.ts';
import { DriverIdSchema, PersonIdSchema, QuoteIdSchema, RiderIdSchema, TripIdSchema } from './ids.ts';
import { Money } from './money.ts';
import { Text } from './text.ts';

export const TripStatus = Type.Union([
  Type.Literal('requested'),
  Type.Literal('offered'),
  Type.Literal('assigned'),
  Type.Literal('arrived'),
  Type.Literal('in_progress'),
  Type.Literal('completed'),
  Type.Literal('cancelled'),
  Type.Literal('unfulfilled'),
]);
export type TripStatus = Static<typeof TripStatus>;

/** Who did it: a person in a role, or the system itself (timers, dispatch). */
export const Actor = Type.Union([
  Type.Literal('rider'),
  Type.Literal('driver'),
  Type.Literal('ops'),
  Type.Literal('system'),
]);
export type Actor = Static<typeof Actor>;

/** Why an offer ended early, or a driver was replaced, when the system did it. */
export type SignOutReason = 'driver_signed_out' | 'driver_banned';

export const UnfulfilledReason = Type.Union([Type.Literal('no_drivers'), Type.Literal('search_timeout')]);
export type UnfulfilledReason = Static<typeof UnfulfilledReason>;

export const CreateTripBody = Type.Object({ quoteId: QuoteIdSchema }, { additionalProperties: false });
export const StartTripBody = Type.Object(
  { code: Type.String({ pattern: '^\\d{4}$', description: 'the four digits the rider was shown' }) },
  { additionalProperties: false },
);
export const DeclineBody = Type.Object({ reason: Type.Optional(Text(200)) }, { additionalProperties: false });
export const CancelBody = Type.Object({ reason: Text(200) }, { additionalProperties: false });
export const RatingBody = Type.Object(
  { stars: Type.Integer({ minimum: 1, maximum: 5 }), comment: Type.Optional(Text(500)) },
  { additionalProperties: false },
);

/** A trip as one of its people sees it. `startCode` is for the rider's eyes only, `offer` for the driver asked. */
export const Trip = Type.Object({
  id: TripIdSchema,
  status: TripStatus,
  version: Type.Integer({ description: 'rises by one with each transition' }),
  quoteId: QuoteIdSchema,
  riderId: RiderIdSchema,
  driverId: Nullable(DriverIdSchema),
  vehicle: Nullable(Vehicle),
  product: Product,
  pickup: LatLng,
  dropoff: LatLng,
  distanceMetres: Type.Integer(),
  durationSeconds: Type.Integer(),
  fare: Money,
  startCode: Type.Optional(Type.String()),
  offer: Nullable(Type.Object({ driverId: DriverIdSchema, expiresAt: Timestamp })),
  endedBy: Nullable(Actor),
  reason: Nullable(Type.String({ description: 'why it was cancelled or left unfulfilled' })),
  ratings: Type.Object({ byRider: Nullable(Type.Integer()), byDriver: Nullable(Type.Integer()) }),
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type Trip = Static<typeof Trip>;

/** People of one question. */
export const activeTripsPeopleMax = 200;
/** Who of these people is on a trip, or asked to drive one? */
export const ActiveTripsQuery = Type.Object({
  people: Type.Array(PersonIdSchema, { minItems: 1, maxItems: activeTripsPeopleMax }),
});
/** The trip as that person sees it. */
export const ActiveTrip = Type.Object({ personId: PersonIdSchema, trip: Trip });
export type ActiveTrip = Static<typeof ActiveTrip>;
/** One of each who is on one, in no order; nobody else's. */
export const ActiveTrips = Type.Object({ items: Type.Array(ActiveTrip) });

export const TripHistoryEntry = Type.Object({
  version: Type.Integer(),
  from: Nullable(TripStatus),
  to: TripStatus,
  actor: Actor,
  actorId: Nullable(PersonIdSchema),
  reason: Nullable(Type.String()),
  at: Timestamp,
});
export type TripHistoryEntry = Static<typeof TripHistoryEntry>;
export const TripHistory = Type.Object({ items: Type.Array(TripHistoryEntry) });
