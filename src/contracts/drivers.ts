import { type Static, Type } from '@sinclair/typebox';
import { Nullable, QueryInteger, Timestamp } from './common.ts';
import { LatLng } from './geo.ts';
import { DriverIdSchema, TripIdSchema } from './ids.ts';
import { Text } from './text.ts';

/**
 * Every product that a rider can order; it is also the kind of vehicle that serves it. This table is the only list
 * of products: the schema, the Redis keys and scripts of the position index, and the keys of tariffs follow from it.
 * `indexLetter` stands for the product in the position index: one letter, unique, and never changed.
 */
export const productTable = {
  bike: { indexLetter: 'b' },
  car: { indexLetter: 'c' },
  car_xl: { indexLetter: 'x' },
} as const;
export type Product = keyof typeof productTable;
export type ProductTable = Readonly<Record<Product, { indexLetter: string }>>;

export const productsOf = (table: ProductTable): Product[] => Object.keys(table) as Product[];
export const createProductSchema = (table: ProductTable) =>
  Type.Unsafe<Product>(Type.Union(productsOf(table).map((product) => Type.Literal(product))));

export const products: readonly Product[] = productsOf(productTable);
export const Product = createProductSchema(productTable);

export const DriverStatus = Type.Union([
  Type.Literal('offline'),
  Type.Literal('available'),
  Type.Literal('held'),
  Type.Literal('on_trip'),
]);
export type DriverStatus = Static<typeof DriverStatus>;

/** A vehicle as a driver describes it. */
export const VehicleBody = Type.Object(
  { product: Product, plate: Text(20), model: Text(60), colour: Text(30) },
  { additionalProperties: false },
);
/** A vehicle as it is stored and shown. */
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

/** A driver may request `available` or `offline`; `held` and `on_trip` follow from their trips. */
export const SetStatusBody = Type.Object(
  { status: Type.Union([Type.Literal('available'), Type.Literal('offline')]) },
  { additionalProperties: false },
);
export type SetStatusBody = Static<typeof SetStatusBody>;

/** One position fix. `recordedAt` is the phone's time; without it, the time of arrival is used. */
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

/** Available drivers near a point, as riders see them. No driver is named and positions are rounded to about 11 m. */
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

/** A search for candidates near a pickup, nearest first. `excluding` lists drivers who got an offer already. */
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

/** Reserves a driver, with their current vehicle, for a trip that is about to make them an offer. */
export const HoldBody = Type.Object(
  {
    driverId: DriverIdSchema,
    tripId: TripIdSchema,
    /** The version of the trip. Events of a later version replace the hold. */
    version: Type.Integer({ minimum: 1 }),
    product: Product,
    /** The hold expires after this time, plus a few seconds in which an event of the trip may still arrive. */
    ttlMs: Type.Integer({ minimum: 100, maximum: 120_000 }),
  },
  { additionalProperties: false },
);
export type HoldRequest = Static<typeof HoldBody>;
/** `vehicle` is the one to name in the offer: it cannot change while the driver is held. */
export const HoldResult = Type.Union([
  Type.Object({ held: Type.Literal(true), vehicle: Vehicle }),
  Type.Object({ held: Type.Literal(false) }),
]);
export type HoldResult = Static<typeof HoldResult>;
/** Releases the hold of this trip version, for which the trip made no offer. */
export const ReleaseBody = Type.Object(
  { driverId: DriverIdSchema, tripId: TripIdSchema, version: Type.Integer({ minimum: 1 }) },
  { additionalProperties: false },
);
export type ReleaseRequest = Static<typeof ReleaseBody>;

/** Summarises a trip's track between two times, or all of it. */
export const TrackQuery = Type.Object({ from: Type.Optional(Timestamp), to: Type.Optional(Timestamp) });
export const TrackSummary = Type.Object({
  /** 0 when no point was recorded, or the track was deleted. */
  points: Type.Integer(),
  distanceMetres: Type.Integer(),
  firstAt: Nullable(Timestamp),
  lastAt: Nullable(Timestamp),
  /** The longest time between two points. */
  longestGapSeconds: Type.Number(),
});
export type TrackSummary = Static<typeof TrackSummary>;

/** The time of the newest point of a trip's track; null when there is none, or the track was deleted. */
export const TrackEnd = Type.Object({ lastAt: Nullable(Timestamp) });

/** Fixes of several drivers in one request, as the notification service batches them from its live connections. */
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
