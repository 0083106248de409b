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

/**
 * How a completed trip is charged. `quoted`: as quoted, or by the track where that is whole and shorter.
 * `metered`: by what was driven until the last known position, never above the quote.
 */
export const FareRule = Type.Union([Type.Literal('quoted'), Type.Literal('metered')]);
export type FareRule = Static<typeof FareRule>;

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

const Rating = Type.Number({ minimum: 1, maximum: 5, description: 'the average of all stars, to a tenth' });
/** A driver as the rider of their trip sees them; null is what is not known. */
export const DriverProfile = Type.Object({ name: Nullable(Type.String()), rating: Nullable(Rating) });
export type DriverProfile = Static<typeof DriverProfile>;
/** A rider as the driver of their trip sees them. */
export const RiderProfile = Type.Object({ firstName: Nullable(Type.String()), rating: Nullable(Rating) });
export type RiderProfile = Static<typeof RiderProfile>;

/** What both people of a trip see of it. */
export const sharedTripFields = {
  id: TripIdSchema,
  status: TripStatus,
  version: Type.Integer({ description: 'rises by one with each transition' }),
  vehicle: Nullable(Vehicle),
  product: Product,
  pickup: LatLng,
  dropoff: LatLng,
  distanceMetres: Type.Integer(),
  durationSeconds: Type.Integer(),
  fare: Money,
  endedBy: Nullable(Actor),
  reason: Nullable(
    Type.String({ description: 'why it was cancelled or left unfulfilled; null where an operator ended it' }),
  ),
  ratings: Type.Object(
    { byRider: Nullable(Type.Integer()), byDriver: Nullable(Type.Integer()) },
    { description: 'the other side’s stars are shown to who has given theirs' },
  ),
  createdAt: Timestamp,
  updatedAt: Timestamp,
};
const riderTripFields = {
  quoteId: QuoteIdSchema,
  startCode: Type.String({ description: 'the rider says it to the driver at the pickup' }),
  driver: Nullable(DriverProfile),
};
const driverTripFields = {
  rider: Nullable(RiderProfile),
  offer: Nullable(Type.Object({ expiresAt: Timestamp })),
};
/** A trip as its rider sees it. `driver` and `vehicle` are there from the assignment on. */
export const RiderTrip = Type.Object({ ...sharedTripFields, ...riderTripFields });
export type RiderTrip = Static<typeof RiderTrip>;
/** A trip as its driver sees it: `offer` while they are asked, `rider` and `vehicle` from the assignment on. */
export const DriverTrip = Type.Object({ ...sharedTripFields, ...driverTripFields });
export type DriverTrip = Static<typeof DriverTrip>;
/** What routes for both answer. */
export const PersonTrip = Type.Union([RiderTrip, DriverTrip]);
/** Either, for readers that do not mind whose view it is. */
export const Trip = Type.Object({
  ...sharedTripFields,
  ...Type.Partial(Type.Object({ ...riderTripFields, ...driverTripFields })).properties,
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
