import { type Static, Type } from '@sinclair/typebox';
import { Nullable, Timestamp } from './common.ts';
import { PositionBatchBody, PositionFix } from './drivers.ts';
import { LatLng } from './geo.ts';
import { EventIdSchema, TripIdSchema } from './ids.ts';
import { Trip } from './trips.ts';

export const Ticket = Type.Object({
  ticket: Type.String({ description: 'single use; goes into ?ticket= of GET /v1/realtime' }),
  expiresAt: Timestamp,
});
export type Ticket = Static<typeof Ticket>;

/** Server → client. `seq` rises by one per person, without gaps. */
export const EventFrame = Type.Object({
  type: Type.Literal('event'),
  seq: Type.Integer({ minimum: 1 }),
  id: EventIdSchema,
  event: Type.String({ description: 'trip.offered, trip.assigned, payment.captured, …' }),
  data: Type.Record(Type.String(), Type.Unknown(), {
    description:
      'What the person may see of it. Of a trip: `tripId`, `version`, `status`, `at`, `product`, `pickup`, `dropoff`, `distanceMetres`, `durationSeconds`, `fare`, `vehicle`, `endedBy`, `reason`, and `driver` (name, rating) for the rider or `rider` (first name, rating) for the driver; while a driver is asked, `offerExpiresAt` instead of the people and the vehicle. Of a payment: `paymentId`, `tripId`, `status`, `amount`, `refunded`, `at`, and `failureReason` for the rider.',
  }),
});
/**
 * What a person needs to carry on who has lost events. It is read after `lastSeq` was: so it holds what all
 * events up to `lastSeq` said, and maybe what some that follow are yet to say.
 */
export const ResumeSnapshot = Type.Object(
  // A copy: Elysia closes the schema of an answer in place, and what a frame may hold must not change by it.
  { trip: Nullable(Type.Object(Trip.properties)) },
  {
    description:
      'The trip that they are on or asked to drive, as `GET /v1/trips/{id}` shows it to them; null: none, so one that the client knows of is over for them. It holds all up to `lastSeq`: an event after it about this trip changes nothing unless its `version` is above that of the trip.',
  },
);
export type ResumeSnapshot = Static<typeof ResumeSnapshot>;
/**
 * Answer to `resume`, after the events that it brought: `recovered: true` says that everything up to
 * `lastSeq` has been sent. `recovered: false` says that events were lost to the window (or that the
 * seq was never given out): go on from the snapshot, or read the state anew where there is none, since it
 * could not be had in time. Events go on after `lastSeq`; none of them comes before this frame. It also
 * comes unasked, when a live connection has lost events that way.
 */
export const ResumedFrame = Type.Object({
  type: Type.Literal('resumed'),
  recovered: Type.Boolean(),
  lastSeq: Type.Integer({ minimum: 0 }),
  /** With `recovered: false` only. */
  snapshot: Type.Optional(ResumeSnapshot),
});
export type ResumedFrame = Static<typeof ResumedFrame>;
/**
 * First frame of a connection. Events after `lastSeq` follow a moment later, so that a client that
 * resumes at once gets each event once. One that resumes later gets those after `after` again: take
 * an event only when its seq is one more than that of the one before.
 */
export const WelcomeFrame = Type.Object({
  type: Type.Literal('welcome'),
  lastSeq: Type.Integer({ minimum: 0 }),
});
export const ErrorFrame = Type.Object({ type: Type.Literal('error'), code: Type.String() });

/** What several people may listen to at once. `trips`: the events of all trips, for operators. */
export const Topic = Type.Union([Type.Literal('trips')]);
export type Topic = Static<typeof Topic>;
/** From here on the topic's events are sent: live only, without seq and replay; one may come twice (same `id`). */
export const SubscribedFrame = Type.Object({ type: Type.Literal('subscribed'), topic: Topic });
export const UnsubscribedFrame = Type.Object({ type: Type.Literal('unsubscribed'), topic: Topic });
export const TopicFrame = Type.Object({
  type: Type.Literal('topic'),
  topic: Topic,
  id: EventIdSchema,
  event: Type.String(),
  data: Type.Record(Type.String(), Type.Unknown()),
});
/**
 * Where the driver of the person's running trip is, and how the vehicle moves if the phone told: about
 * once a second, live only, never kept.
 */
export const PositionFrame = Type.Object({
  type: Type.Literal('position'),
  tripId: TripIdSchema,
  lat: LatLng.properties.lat,
  lng: LatLng.properties.lng,
  recordedAt: Timestamp,
  headingDegrees: PositionFix.properties.headingDegrees,
  speedMetresPerSecond: PositionFix.properties.speedMetresPerSecond,
});
export type PositionFrame = Static<typeof PositionFrame>;
/** Events of the topic may have been lost on the way: read the state anew. */
export const MissedFrame = Type.Object({ type: Type.Literal('missed'), topic: Topic });

export const ServerFrame = Type.Union([
  EventFrame,
  ResumedFrame,
  WelcomeFrame,
  ErrorFrame,
  SubscribedFrame,
  UnsubscribedFrame,
  TopicFrame,
  MissedFrame,
  PositionFrame,
]);
export type ServerFrame = Static<typeof ServerFrame>;
export type EventFrame = Static<typeof EventFrame>;
export type TopicFrame = Static<typeof TopicFrame>;

/** Client → server. */
export const ResumeFrame = Type.Object(
  { type: Type.Literal('resume'), after: Type.Integer({ minimum: 0 }) },
  { additionalProperties: false },
);
export const AckFrame = Type.Object(
  { type: Type.Literal('ack'), seq: Type.Integer({ minimum: 0 }) },
  { additionalProperties: false },
);
export const SubscribeFrame = Type.Object(
  { type: Type.Literal('subscribe'), topic: Topic },
  { additionalProperties: false },
);
export const UnsubscribeFrame = Type.Object(
  { type: Type.Literal('unsubscribe'), topic: Topic },
  { additionalProperties: false },
);
export const LocationFrame = Type.Composite([Type.Object({ type: Type.Literal('location') }), PositionFix], {
  additionalProperties: false,
});
export const LocationsFrame = Type.Composite(
  [Type.Object({ type: Type.Literal('locations') }), PositionBatchBody],
  { additionalProperties: false },
);
export const ClientFrame = Type.Union([
  ResumeFrame,
  AckFrame,
  SubscribeFrame,
  UnsubscribeFrame,
  LocationFrame,
  LocationsFrame,
]);
export type ClientFrame = Static<typeof ClientFrame>;

export const frameBytesMax = 16 * 1024;

/** Why the server ends a connection; the client comes back with a new ticket and resumes, where it may. */
export const closeCodes = {
  /** Frames that were refused, over and over. */
  policyViolation: 1008,
  frameTooLarge: 1009,
  /** This instance stops; the reason says after how many milliseconds to come back. */
  restarting: 1012,
  /** Too slow a reader, or a part of the system is away. */
  tryAgainLater: 1013,
  sessionExpired: 4401,
  /** The person opened more connections than allowed; the oldest made room. */
  replaced: 4409,
} as const;
