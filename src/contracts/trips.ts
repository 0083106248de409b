import { type Static, Type } from '@sinclair/typebox';
import { Nullable, Timestamp } from './common.ts';
import { Product, Vehicle } from './drivers.ts';
import { LatLng } from './geo.ts';
import { PersonIdSchema, QuoteIdSchema, TripIdSchema } from './ids.ts';
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

/** Who made a transition: a person in a role, or the system itself (timers, dispatch). */
export const Actor = Type.Union([
  Type.Literal('rider'),
  Type.Literal('driver'),
  Type.Literal('ops'),
  Type.Literal('system'),
]);
export type Actor = Static<typeof Actor>;

/** Why the system ended an offer early or replaced a driver. */
export type SignOutReason = 'driver_signed_out' | 'driver_banned';

/**
 * How a completed trip is charged. `quoted`: the quote, or the track's distance where the track is complete and
 * shorter. `metered`: the distance driven until the last known position, never more than the quote.
 */
export const FareRule = Type.Union([Type.Literal('quoted'), Type.Literal('metered')]);
export type FareRule = Static<typeof FareRule>;

export const UnfulfilledReason = Type.Union([Type.Literal('no_drivers'), Type.Literal('search_timeout')]);
export type UnfulfilledReason = Static<typeof UnfulfilledReason>;

export const CreateTripBody = Type.Object({ quoteId: QuoteIdSchema }, { additionalProperties: false });
export const StartTripBody = Type.Object(
  { code: Type.String({ pattern: '^\\d{4}$', description: 'the four digits that the rider sees' }) },
  { additionalProperties: false },
);
export const DeclineBody = Type.Object({ reason: Type.Optional(Text(200)) }, { additionalProperties: false });
export const CancelBody = Type.Object({ reason: Text(200) }, { additionalProperties: false });
export const RatingBody = Type.Object(
  { stars: Type.Integer({ minimum: 1, maximum: 5 }), comment: Type.Optional(Text(500)) },
  { additionalProperties: false },
);

const Rating = Type.Number({
  minimum: 1,
  maximum: 5,
  description: 'the average of all ratings, to a tenth of a star',
});
/** A driver as the rider of their trip sees them; null for what is unknown. */
export const DriverProfile = Type.Object({ name: Nullable(Type.String()), rating: Nullable(Rating) });
export type DriverProfile = Static<typeof DriverProfile>;
/** A rider as the driver of their trip sees them. */
export const RiderProfile = Type.Object({ firstName: Nullable(Type.String()), rating: Nullable(Rating) });
export type RiderProfile = Static<typeof RiderProfile>;

/** The fields of a trip that both its rider and its driver see. */
export const sharedTripFields = {
  id: TripIdSchema,
  status: TripStatus,
  version: Type.Integer({ description: 'incremented by each transition' }),
  vehicle: Nullable(Vehicle),
  product: Product,
  pickup: LatLng,
  dropoff: LatLng,
  distanceMetres: Type.Integer(),
  durationSeconds: Type.Integer(),
  fare: Money,
  endedBy: Nullable(Actor),
  reason: Nullable(
    Type.String({ description: 'why it was cancelled or unfulfilled; null when an operator ended it' }),
  ),
  ratings: Type.Object(
    { byRider: Nullable(Type.Integer()), byDriver: Nullable(Type.Integer()) },
    { description: 'the other person’s rating is visible after giving your own' },
  ),
  createdAt: Timestamp,
  updatedAt: Timestamp,
};
const riderTripFields = {
  quoteId: QuoteIdSchema,
  startCode: Type.String({ description: 'the rider tells it to the driver at the pickup' }),
  driver: Nullable(DriverProfile),
};
const driverTripFields = {
  rider: Nullable(RiderProfile),
  offer: Nullable(Type.Object({ expiresAt: Timestamp })),
};
/** A trip as its rider sees it. `driver` and `vehicle` are present from the assignment on. */
export const RiderTrip = Type.Object({ ...sharedTripFields, ...riderTripFields });
export type RiderTrip = Static<typeof RiderTrip>;
/** A trip as its driver sees it: `offer` while they have one, `rider` and `vehicle` from the assignment on. */
export const DriverTrip = Type.Object({ ...sharedTripFields, ...driverTripFields });
export type DriverTrip = Static<typeof DriverTrip>;
/** The answer of routes that serve riders and drivers. */
export const PersonTrip = Type.Union([RiderTrip, DriverTrip]);
/** Any view of a trip, for readers that do not depend on whose view it is. */
export const Trip = Type.Object({
  ...sharedTripFields,
  ...Type.Partial(Type.Object({ ...riderTripFields, ...driverTripFields })).properties,
});
export type Trip = Static<typeof Trip>;

/** The most people in one query. */
export const activeTripsPeopleMax = 200;
/** Asks which of these people are on a trip or have an offer. */
export const ActiveTripsQuery = Type.Object({
  people: Type.Array(PersonIdSchema, { minItems: 1, maxItems: activeTripsPeopleMax }),
});
/** The trip as that person sees it. */
export const ActiveTrip = Type.Object({ personId: PersonIdSchema, trip: Trip });
export type ActiveTrip = Static<typeof ActiveTrip>;
/** At most one active trip for each person of the query, in no particular order. */
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
