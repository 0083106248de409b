import { Timestamp } from '@contracts/common.ts';
import { type DomainEvent, type EventType, eventSchemas } from '@contracts/events.ts';
import { EventIdSchema } from '@contracts/ids.ts';
import { type TSchema, Type } from '@sinclair/typebox';
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler';

/** A valid event, or the reason why a value is not one. */
export type EventParseResult = { kind: 'event'; event: DomainEvent } | { kind: 'invalid'; reason: string };

/** An event breaks its contract, which is a bug of its producer. Nothing of its batch was published. */
export class EventInvalidError extends Error {
  override readonly name = 'EventInvalidError';
}

export const subjectLengthMax = 200;

const Envelope = TypeCompiler.Compile(
  Type.Object({
    id: EventIdSchema,
    type: Type.String(),
    source: Type.String({ minLength: 1, maxLength: subjectLengthMax }),
    subject: Type.String({ minLength: 1, maxLength: subjectLengthMax }),
    time: Timestamp,
    traceparent: Type.Optional(Type.String({ maxLength: 100 })),
    data: Type.Unknown(),
  }),
);

// Many event types share one schema, so each schema is compiled once.
const compiledSchemas = new Map<TSchema, TypeCheck<TSchema>>();
const dataChecks = new Map(
  Object.entries(eventSchemas).map(([type, schema]) => [type, compileSchema(schema)]),
);

function compileSchema(schema: TSchema): TypeCheck<TSchema> {
  const known = compiledSchemas.get(schema);
  if (known !== undefined) return known;
  const check = TypeCompiler.Compile(schema);
  compiledSchemas.set(schema, check);
  return check;
}

/** Checks any value against the event contract. The reason names the first invalid field, never its value. */
export function parseEvent(value: unknown): EventParseResult {
  if (!Envelope.Check(value)) return describeInvalid(Envelope, value, '');
  const check = dataChecks.get(value.type);
  if (check === undefined) return { kind: 'invalid', reason: `unknown type ${value.type.slice(0, 100)}` };
  if (!check.Check(value.data)) return describeInvalid(check, value.data, '/data');
  // The only place where a checked value gets the type of the contract.
  return { kind: 'event', event: value as DomainEvent };
}

function describeInvalid(check: TypeCheck<TSchema>, value: unknown, prefix: string): EventParseResult {
  const error = check.Errors(value).First();
  return { kind: 'invalid', reason: `${prefix}${error?.path ?? ''}: ${error?.message ?? 'not valid'}` };
}

/** Throws EventInvalidError when one of the events breaks its contract. */
export function assertEvents(events: readonly DomainEvent[]): void {
  for (const event of events) {
    const parsed = parseEvent(event);
    if (parsed.kind === 'invalid') throw new EventInvalidError(`${event.type}: ${parsed.reason}`);
  }
}

/** The event with its type narrowed to the subscribed `types`; undefined if it has another type. */
export function asSubscribedEvent<T extends EventType>(
  types: readonly T[],
  event: DomainEvent,
): DomainEvent<T> | undefined {
  const subscribedTypes: readonly EventType[] = types;
  return subscribedTypes.includes(event.type) ? (event as DomainEvent<T>) : undefined;
}
