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

/** Server → client. `seq` rises by one for each event of a person, without gaps. */
export const EventFrame = Type.Object({
  type: Type.Literal('event'),
  seq: Type.Integer({ minimum: 1 }),
  id: EventIdSchema,
  event: Type.String({ description: 'trip.offered, trip.assigned, payment.captured, …' }),
  data: Type.Record(Type.String(), Type.Unknown(), {
    description:
      'The part of the event that the person may see. For a trip: `tripId`, `version`, `status`, `at`, `product`, `pickup`, `dropoff`, `distanceMetres`, `durationSeconds`, `fare`, `vehicle`, `endedBy`, `reason`, and `driver` (name, rating) for the rider or `rider` (first name, rating) for the driver; while a driver has an offer, `offerExpiresAt` instead of the people and the vehicle. For a payment: `paymentId`, `tripId`, `status`, `amount`, `refunded`, `at`, and `failureReason` for the rider.',
  }),
});
/**
 * The state that a client continues from after it has lost events. It is read after `lastSeq`, so it contains all
 * changes up to `lastSeq` and may contain some of later events.
 */
export const ResumeSnapshot = Type.Object(
  // A copy, because Elysia sets additionalProperties on a response schema in place, which would change this frame.
  { trip: Nullable(Type.Object(Trip.properties)) },
  {
    description:
      'The trip that the person is on or has an offer for, as `GET /v1/trips/{id}` shows it to them; null when there is none, so a trip that the client still shows has ended for them. It includes all changes up to `lastSeq`: ignore a later event of this trip unless its `version` is higher than that of the trip.',
  },
);
export type ResumeSnapshot = Static<typeof ResumeSnapshot>;
/**
 * Answers `resume`, after the replayed events. `recovered: true` means that all events up to `lastSeq` have been
 * sent. `recovered: false` means that events have left the replay window, or that the seq was never issued: continue
 * from the snapshot, or read the state again when there is none because it could not be loaded in time. Events after
 * `lastSeq` follow, none of them before this frame. The server also sends this frame by itself when a live connection
 * has lost events in that way.
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
 * The first frame of a connection. Events after `lastSeq` follow a moment later, so a client that resumes at once
 * gets each event once. A client that resumes later gets the events after `after` again: it must take an event only
 * when its seq is one higher than the previous seq.
 */
export const WelcomeFrame = Type.Object({
  type: Type.Literal('welcome'),
  lastSeq: Type.Integer({ minimum: 0 }),
});
export const ErrorFrame = Type.Object({ type: Type.Literal('error'), code: Type.String() });

/** A topic has many subscribers. `trips` has the events of all trips, for operators. */
export const Topic = Type.Union([Type.Literal('trips')]);
export type Topic = Static<typeof Topic>;
/** From now on the topic's events are sent: live only, without seq and replay. An event may come twice, with the same `id`. */
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
 * The position of the driver of the person's active trip, with heading and speed if the phone sends them. It comes
 * about once a second, live only, and is never stored.
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
/** Events of the topic may have been lost: read the state again. */
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

/** Why the server closes a connection. Where that is allowed, the client reconnects with a new ticket and resumes. */
export const closeCodes = {
  /** The client kept sending frames that were rejected. */
  policyViolation: 1008,
  frameTooLarge: 1009,
  /** This instance is shutting down; the close reason is the number of milliseconds after which to reconnect. */
  restarting: 1012,
  /** The client reads too slowly, or a part of the system is unavailable. */
  tryAgainLater: 1013,
  sessionExpired: 4401,
  /** The person opened more connections than allowed, and the oldest was closed. */
  replaced: 4409,
} as const;
