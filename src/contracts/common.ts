import { type Static, type TSchema, Type } from '@sinclair/typebox';

/** RFC 3339 in UTC with milliseconds: `2026-11-22T08:30:00.000Z`. */
export const Timestamp = Type.String({
  pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?Z$',
  description: 'RFC 3339, UTC',
});
export type Timestamp = Static<typeof Timestamp>;

export const formatTimestamp = (ms: number): Timestamp => new Date(ms).toISOString();

const secondLength = '2026-11-22T08:30:00'.length;
const firstMs = Date.parse('0001-01-01T00:00:00Z');

/**
 * Parses a `Timestamp` to Unix milliseconds. Digits after the milliseconds are cut off. Returns NaN for a time
 * that does not exist, such as 30 February: `Date.parse` alone reads it as 2 March, and 24:00 as the next day.
 */
export function parseTimestamp(text: string): number {
  const second = text.slice(0, secondLength);
  const ms = Date.parse(`${second}Z`);
  if (!(ms >= firstMs) || new Date(ms).toISOString().slice(0, secondLength) !== second) return Number.NaN;
  return (
    ms +
    Number(
      text
        .slice(secondLength + 1, -1)
        .padEnd(3, '0')
        .slice(0, 3),
    )
  );
}

/** A value or null. A fact that is absent is null; its field is never left out. */
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** One page of a list. `nextCursor` is opaque; null on the last page. */
export const Page = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), nextCursor: Nullable(Type.String()) });

export const pageSizeMax = 100;

/**
 * A whole number in a query string. It is not `Type.Integer`, because Elysia 1.4.30 converts query text to a
 * number for `Type.Number` only and would reject every integer as a string.
 */
export const QueryInteger = (minimum: number, maximum: number, value: number) =>
  Type.Optional(Type.Number({ multipleOf: 1, minimum, maximum, default: value }));

/** The query of a list route. */
export const PageQuery = Type.Object({
  limit: QueryInteger(1, pageSizeMax, 20),
  cursor: Type.Optional(Type.String({ maxLength: 200 })),
});

/** RFC 9457 problem details with a stable, dotted `code`. */
export const ProblemDetails = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  detail: Type.Optional(Type.String()),
  instance: Type.Optional(Type.String()),
  requestId: Type.Optional(Type.String()),
  errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
});
export type ProblemDetails = Static<typeof ProblemDetails>;

/** Names of the headers that cross a boundary, in lower case as `Headers` returns them. */
export const headers = {
  /** Chosen by the caller of a POST that creates something: 1 to 200 visible ASCII characters. */
  idempotencyKey: 'idempotency-key',
  requestId: 'x-request-id',
  /** Unix milliseconds after which the caller no longer waits for the answer. */
  deadline: 'x-deadline-ms',
  /** Proves that the caller is a service of the same deployment. */
  serviceToken: 'x-service-token',
  traceparent: 'traceparent',
  /** Opaque, at most 256 characters. A client that sends back the token it got never reads anything older than before. */
  readConsistencyToken: 'x-session-token',
} as const;
