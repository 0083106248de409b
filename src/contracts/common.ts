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
 * Unix milliseconds of a `Timestamp`, cut off after the milliseconds; NaN for a time that does not exist.
 * `Date.parse` alone takes 30 February for 2 March, and 24:00 for the next day.
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

/** A value or null: absent facts are said, not left out. */
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** One page of a list. `nextCursor` is opaque; null on the last page. */
export const Page = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), nextCursor: Nullable(Type.String()) });

export const pageSizeMax = 100;

/**
 * A whole number in a query. Not `Type.Integer`: Elysia 1.4.30 reads a number out of the query's text
 * for `Type.Number` only, and would refuse every integer as the string that it came as.
 */
export const QueryInteger = (minimum: number, maximum: number, value: number) =>
  Type.Optional(Type.Number({ multipleOf: 1, minimum, maximum, default: value }));

/** Query of a list route. */
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

/** Header names that cross a boundary; lower case, as `Headers` gives them. */
export const headers = {
  /** Chosen by the caller of a POST that creates; 1 to 200 visible ASCII characters. */
  idempotencyKey: 'idempotency-key',
  requestId: 'x-request-id',
  /** Unix milliseconds after which nobody waits for the answer any more. */
  deadline: 'x-deadline-ms',
  /** Proves to a service that the caller is one of ours. */
  serviceToken: 'x-service-token',
  traceparent: 'traceparent',
  /** Opaque, at most 256 characters: what its bearer has seen. Sent back, no later answer shows anything older. */
  readConsistencyToken: 'x-session-token',
} as const;
