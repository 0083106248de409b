import { type Static, Type } from '@sinclair/typebox';
import { Nullable, QueryInteger, Timestamp } from './common.ts';
import { LatLng } from './geo.ts';
import { DriverIdSchema, TripIdSchema } from './ids.ts';
import { Text } from './text.ts';

/** What a rider can ask for, and the kind of vehicle that serves it. */
export const Product = Type.Union([Type.Literal('bike'), Type.Literal('car'), Type.Literal('car_xl')]);
export type Product = Static<typeof Product>;

export const DriverStatus = Type.Union([
  Type.Literal('offline'),
  Type.Literal('available'),
  Type.Literal('held'),
  Type.Literal('on_trip'),
]);
export type DriverStatus = Static<typeof DriverStatus>;

/** As a driver describes it. */
export const VehicleBody = Type.Object(
  { product: Product, plate: Text(20), model: Text(60), colour: Text(30) },
  { additionalProperties: false },
);
/** As it is kept and shown. */
export const Vehicle = Type.Object(
  { product: Product, plate: Type.String(), model: Type.String(), colour: Type.String() },
  { additionalProperties: false },
);
export type Vehicle = Static<typeof Vehicle>;

export const Driver = Type.Object({
  id: DriverIdSchema,
  status: DriverStatus,
  vehicle: Nullable(Vehicle),
  tripId: Nullable(TripIdSchema),
  updatedAt: Timestamp,
});
export type Driver = Static<typeof Driver>;

/** A driver asks to be `available` or `offline`; `held` and `on_trip` follow from trips. */
export const SetStatusBody = Type.Object(
  { status: Type.Union([Type.Literal('available'), Type.Literal('offline')]) },
  { additionalProperties: false },
);
export type SetStatusBody = Static<typeof SetStatusBody>;

/** One position fix. `recordedAt` is the phone's time; without it, the time of arrival counts. */
export const PositionFix = Type.Object(
  {
    lat: LatLng.properties.lat,
    lng: LatLng.properties.lng,
    recordedAt: Type.Optional(Timestamp),
    accuracyMetres: Type.Optional(Type.Number({ minimum: 0, maximum: 100_000 })),
    headingDegrees: Type.Optional(
      Type.Number({ minimum: 0, maximum: 360, description: 'clockwise from north' }),
    ),
    speedMetresPerSecond: Type.Optional(Type.Number({ minimum: 0, maximum: 1000 })),
  },
  { additionalProperties: false },
);
export type PositionFix = Static<typeof PositionFix>;

export const positionBatchMax = 500;
export const PositionBatchBody = Type.Object(
  { points: Type.Array(PositionFix, { minItems: 1, maxItems: positionBatchMax }) },
  { additionalProperties: false },
);

export const PositionBatchResult = Type.Object({
  accepted: Type.Integer(),
  refused: Type.Array(Type.Object({ index: Type.Integer(), code: Type.String() })),
});
export type PositionBatchResult = Static<typeof PositionBatchResult>;

export const NearbyQuery = Type.Object({
  lat: LatLng.properties.lat,
  lng: LatLng.properties.lng,
  product: Type.Optional(Product),
  limit: QueryInteger(1, 50, 10),
});

/** What riders see around them: no driver is named, the point is rounded to about 11 m. */
export const NearbyDrivers = Type.Object({
  drivers: Type.Array(
    Type.Object({
      position: LatLng,
      distanceMetres: Type.Number(),
      product: Product,
      ageSeconds: Type.Number(),
    }),
  ),
});
export type NearbyDrivers = Static<typeof NearbyDrivers>;

// Between services -----------------------------------------------------------------------------

/** Candidates for a pickup, nearest first; `excluding` are those who were asked already. */
export const CandidateQuery = Type.Object(
  {
    pickup: LatLng,
    product: Product,
    limit: Type.Integer({ minimum: 1, maximum: 50 }),
    excluding: Type.Array(DriverIdSchema, { maxItems: 200 }),
  },
  { additionalProperties: false },
);
export type CandidateQuery = Static<typeof CandidateQuery>;

export const Candidate = Type.Object({
  driverId: DriverIdSchema,
  position: LatLng,
  distanceMetres: Type.Number(),
});
export type Candidate = Static<typeof Candidate>;

/** A trip is about to offer itself to a driver: they are kept for it, as they are at this moment, until the offer is known. */
export const HoldBody = Type.Object(
  {
    driverId: DriverIdSchema,
    tripId: TripIdSchema,
    /** Of the trip: what it says later replaces the hold. */
    version: Type.Integer({ minimum: 1 }),
    product: Product,
    /** The hold ends by itself after this time, and a few seconds in which the trip may still report. */
    ttlMs: Type.Integer({ minimum: 100, maximum: 120_000 }),
  },
  { additionalProperties: false },
);
export type HoldRequest = Static<typeof HoldBody>;
/** The vehicle is the one to name in the offer: it can't change while the driver is held. */
export const HoldResult = Type.Union([
  Type.Object({ held: Type.Literal(true), vehicle: Vehicle }),
  Type.Object({ held: Type.Literal(false) }),
]);
export type HoldResult = Static<typeof HoldResult>;
/** The trip made no offer of the hold that it got at this version. */
export const ReleaseBody = Type.Object(
  { driverId: DriverIdSchema, tripId: TripIdSchema, version: Type.Integer({ minimum: 1 }) },
  { additionalProperties: false },
);
export type ReleaseRequest = Static<typeof ReleaseBody>;

/** What a trip was driven, by the positions that its driver sent; within two moments, or all of it. */
export const TrackQuery = Type.Object({ from: Type.Optional(Timestamp), to: Type.Optional(Timestamp) });
export const TrackSummary = Type.Object({
  /** 0: nothing is known, or no longer. */
  points: Type.Integer(),
  distanceMetres: Type.Integer(),
  firstAt: Nullable(Timestamp),
  lastAt: Nullable(Timestamp),
  /** The longest time between two points. */
  longestGapSeconds: Type.Number(),
});
export type TrackSummary = Static<typeof TrackSummary>;

/** When the newest position of a trip was recorded; null when none is known, or no longer. */
export const TrackEnd = Type.Object({ lastAt: Nullable(Timestamp) });

/** Fixes of several drivers at once, as the realtime plane gathers them from its sockets. */
export const PositionUpdatesBody = Type.Object(
  {
    updates: Type.Array(
      Type.Object({
        driverId: DriverIdSchema,
        points: Type.Array(PositionFix, { maxItems: positionBatchMax }),
      }),
      {
        minItems: 1,
        maxItems: 1000,
      },
    ),
  },
  { additionalProperties: false },
);
export const PositionUpdatesResult = Type.Object({
  results: Type.Array(Type.Composite([Type.Object({ driverId: DriverIdSchema }), PositionBatchResult])),
});
