import { type Static, Type } from '@sinclair/typebox';
import { Nullable, Page, PageQuery, pageSizeMax, QueryInteger, Timestamp } from './common.ts';

// What operators see of events that a consumer failed to handle, and what they may do with them.

/** The contexts that consume events. Each manages the dead letters of its own queues, named `<context>.<purpose>`. */
export const consumingContexts = ['driver', 'trip', 'payment', 'notification'] as const;
export type ConsumingContext = (typeof consumingContexts)[number];

const LetterId = Type.String({
  pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
  description: 'the id of the event, or a digest in the same form when the event has no readable id',
});
const QueueName = Type.String({ maxLength: 100 });

export const DeadLetterSummary = Type.Object({
  queue: QueueName,
  id: LetterId,
  type: Type.String(),
  reason: Type.String(),
  attempts: Type.Integer(),
  redrives: Type.Integer({ description: 'how many times it was put back into its queue before' }),
  firstFailedAt: Timestamp,
  lastFailedAt: Timestamp,
  bytes: Type.Integer(),
  alreadyApplied: Nullable(
    Type.Boolean({ description: 'whether the consumer has applied the event already; null when unknown' }),
  ),
});
export type DeadLetterSummary = Static<typeof DeadLetterSummary>;

export const DeadLetterQueue = Type.Object({
  queue: QueueName,
  ready: Type.Integer({ description: 'messages waiting for delivery; one message holds up to 64 events' }),
  dead: Type.Integer(),
});
export type DeadLetterQueue = Static<typeof DeadLetterQueue>;
export const DeadLetterQueues = Type.Object({ queues: Type.Array(DeadLetterQueue) });

export const DeadLetterPage = Type.Composite([
  Page(DeadLetterSummary),
  Type.Object({
    total: Type.Integer({ description: 'dead letters in the queue' }),
    searched: Type.Integer({
      description: 'dead letters read for this page: a long queue is not read to its end',
    }),
  }),
]);
export type DeadLetterPage = Static<typeof DeadLetterPage>;

export const DeadLetterDetail = Type.Composite([
  DeadLetterSummary,
  Type.Object({
    masked: Type.Boolean({ description: 'true when positions were removed from the body' }),
    body: Type.Unknown({
      description: 'the event as it was received; text when it could not be parsed as an event',
    }),
  }),
]);
export type DeadLetterDetail = Static<typeof DeadLetterDetail>;

const type = Type.String({ minLength: 1, maxLength: 100, description: 'the type of the event' });
const reason = Type.String({
  minLength: 1,
  maxLength: 200,
  description: 'part of the reason, case-insensitive',
});

export const DeadLetterQuery = Type.Composite([
  PageQuery,
  Type.Object({ type: Type.Optional(type), reason: Type.Optional(reason) }),
]);

export const DeadLetterDetailQuery = Type.Object({
  reveal: Type.Optional(Type.Union([Type.Literal('yes'), Type.Literal('no')])),
});

export const QueuePath = Type.Object({ queue: QueueName });
export const DeadLetterPath = Type.Object({ queue: QueueName, id: LetterId });

export const deadLetterSelectionMax = 1_000;

/** Selects the dead letters that match every given criterion. `all: true` is needed to select all of them. */
export const DeadLetterSelection = Type.Object(
  {
    ids: Type.Optional(Type.Array(LetterId, { minItems: 1, maxItems: pageSizeMax })),
    type: Type.Optional(type),
    reason: Type.Optional(reason),
    all: Type.Optional(Type.Literal(true)),
    limit: QueryInteger(1, deadLetterSelectionMax, deadLetterSelectionMax),
  },
  { additionalProperties: false, minProperties: 1 },
);
export type DeadLetterSelection = Static<typeof DeadLetterSelection>;

const Settled = <Outcome extends 'redriven' | 'dropped'>(outcome: Outcome) =>
  Type.Object({
    items: Type.Array(
      Type.Composite([
        Type.Pick(DeadLetterSummary, ['id', 'type', 'reason', 'alreadyApplied']),
        Type.Object({ outcome: Type.Literal(outcome) }),
      ]),
    ),
    more: Type.Boolean({ description: 'true when matching dead letters may be left: repeat the request' }),
  });

/** `alreadyApplied` is as of the redrive. An event that was applied before changes nothing a second time. */
export const DeadLettersRedriven = Settled('redriven');
export const DeadLettersDropped = Settled('dropped');
export type DeadLettersResult = Static<typeof DeadLettersRedriven> | Static<typeof DeadLettersDropped>;
