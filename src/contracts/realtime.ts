import { type Static, Type } from '@sinclair/typebox';
import { Timestamp } from './common.ts';
import { PositionBatchBody, PositionFix } from './drivers.ts';
import { EventIdSchema } from './ids.ts';

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
  data: Type.Record(Type.String(), Type.Unknown()),
});
/**
 * Answer to `resume`, after the events that it brought: `recovered: true` says that everything up to
 * `lastSeq` has been sent. `recovered: false` says that events were lost to the window (or that the
 * seq was never given out): read the state anew, events go on after `lastSeq`. It also comes unasked,
 * when a live connection has lost events that way.
 */
export const ResumedFrame = Type.Object({
  type: Type.Literal('resumed'),
  recovered: Type.Boolean(),
  lastSeq: Type.Integer({ minimum: 0 }),
});
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
export const ServerFrame = Type.Union([EventFrame, ResumedFrame, WelcomeFrame, ErrorFrame]);
export type ServerFrame = Static<typeof ServerFrame>;
export type EventFrame = Static<typeof EventFrame>;

/** Client → server. */
export const ResumeFrame = Type.Object(
  { type: Type.Literal('resume'), after: Type.Integer({ minimum: 0 }) },
  { additionalProperties: false },
);
export const AckFrame = Type.Object(
  { type: Type.Literal('ack'), seq: Type.Integer({ minimum: 0 }) },
  { additionalProperties: false },
);
export const LocationFrame = Type.Composite([Type.Object({ type: Type.Literal('location') }), PositionFix], {
  additionalProperties: false,
});
export const LocationsFrame = Type.Composite(
  [Type.Object({ type: Type.Literal('locations') }), PositionBatchBody],
  { additionalProperties: false },
);
export const ClientFrame = Type.Union([ResumeFrame, AckFrame, LocationFrame, LocationsFrame]);
export type ClientFrame = Static<typeof ClientFrame>;

export const frameBytesMax = 16 * 1024;

/** Why the server ends a connection; the client comes back with a new ticket and resumes, where it may. */
export const closeCodes = {
  /** Frames that were refused, over and over. */
  abused: 1008,
  frameTooLarge: 1009,
  /** This instance stops; the reason says after how many milliseconds to come back. */
  restarting: 1012,
  /** Too slow a reader, or a part of the system is away. */
  tryAgainLater: 1013,
  sessionExpired: 4401,
  /** The person opened more connections than allowed; the oldest made room. */
  replaced: 4409,
} as const;
