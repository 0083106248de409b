import { type Static, Type } from '@sinclair/typebox';
import { Nullable, Timestamp } from './common.ts';
import { Email } from './email.ts';
import { LatLng } from './geo.ts';
import { DriverIdSchema, PersonIdSchema, QuoteIdSchema, RiderIdSchema } from './ids.ts';
import { Person } from './people.ts';
import { Text } from './text.ts';
import { DriverProfile, RiderProfile, sharedTripFields, TripHistoryEntry } from './trips.ts';

export const OperatorActionKind = Type.Union([
  Type.Literal('ban'),
  Type.Literal('unban'),
  Type.Literal('rotate_keys'),
]);
export type OperatorActionKind = Static<typeof OperatorActionKind>;

/** A person as operators see them, with the operators' actions on them, newest first (at most 100). */
export const PersonRecord = Type.Object({
  person: Person,
  bannedAt: Nullable(Timestamp),
  actions: Type.Array(
    Type.Object({
      id: Type.String(),
      action: OperatorActionKind,
      operatorId: PersonIdSchema,
      reason: Type.String(),
      at: Timestamp,
    }),
  ),
});
export type PersonRecord = Static<typeof PersonRecord>;

export const PersonPath = Type.Object({ id: PersonIdSchema });
export const PersonQuery = Type.Object({ email: Email });

/** Why an operator acts. It is stored together with the operator's id. */
const Reason = Text(500, 3);

export const BanBody = Type.Object({ reason: Reason }, { additionalProperties: false });

export const RotateKeysBody = Type.Object(
  {
    reason: Reason,
    compromised: Type.Boolean({
      description:
        'true when the key may be stolen: it is revoked at once, and every access token that it signed becomes invalid',
    }),
  },
  { additionalProperties: false },
);

export const KeysRotated = Type.Object({
  keyId: Type.String(),
  activeFrom: Timestamp,
  othersEndAt: Timestamp,
});
export type KeysRotated = Static<typeof KeysRotated>;

export const OperatorReasonBody = Type.Object({ reason: Reason }, { additionalProperties: false });

export const ReassignTripBody = Type.Object(
  {
    reason: Reason,
    pickup: Type.Optional({
      ...LatLng,
      description: 'the new pickup; required once the trip has started',
    }),
  },
  { additionalProperties: false },
);

/** A trip as operators see it: complete except for the start code and the payment method. */
export const OperatorTrip = Type.Object({
  ...sharedTripFields,
  quoteId: QuoteIdSchema,
  riderId: RiderIdSchema,
  rider: RiderProfile,
  driverId: Nullable(DriverIdSchema),
  driver: Nullable(DriverProfile),
  offer: Nullable(Type.Object({ driverId: DriverIdSchema, expiresAt: Timestamp })),
  offeredDriverIds: Type.Array(DriverIdSchema, { description: 'every driver who got an offer, in order' }),
});
export type OperatorTrip = Static<typeof OperatorTrip>;

/** A trip with all its transitions, who made them and why. */
export const TripRecord = Type.Object({ trip: OperatorTrip, history: Type.Array(TripHistoryEntry) });
export type TripRecord = Static<typeof TripRecord>;
