import { Timestamp } from '@contracts/common.ts';
import { type DomainEvent, type EventType, eventSchemas } from '@contracts/events.ts';
import { EventIdSchema } from '@contracts/ids.ts';
import { type TSchema, Type } from '@sinclair/typebox';
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler';

/** An event that may travel, or why it may not. */
export type EventParseResult = { kind: 'event'; event: DomainEvent } | { kind: 'broken'; reason: string };

/** An event breaks its contract: a bug of whoever made it. Nothing of its batch was published. */
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

// Many types share one schema: each is compiled once.
const compiled = new Map<TSchema, TypeCheck<TSchema>>();
const dataChecks = new Map(Object.entries(eventSchemas).map(([type, schema]) => [type, checkOf(schema)]));

function checkOf(schema: TSchema): TypeCheck<TSchema> {
  const known = compiled.get(schema);
  if (known !== undefined) return known;
  const check = TypeCompiler.Compile(schema);
  compiled.set(schema, check);
  return check;
}

/** Reads anything as an event by the contract. The reason names the first wrong field, never its value. */
export function parseEvent(value: unknown): EventParseResult {
  if (!Envelope.Check(value)) return broken(Envelope, value, '');
  const check = dataChecks.get(value.type);
  if (check === undefined) return { kind: 'broken', reason: `unknown type ${value.type.slice(0, 100)}` };
  if (!check.Check(value.data)) return broken(check, value.data, '/data');
  // The one place where a checked value becomes the contract's type.
  return { kind: 'event', event: value as DomainEvent };
}

function broken(check: TypeCheck<TSchema>, value: unknown, prefix: string): EventParseResult {
  const fault = check.Errors(value).First();
  return { kind: 'broken', reason: `${prefix}${fault?.path ?? ''}: ${fault?.message ?? 'not valid'}` };
}

/** Throws EventInvalidError when one of them breaks its contract. */
export function assertEvents(events: readonly DomainEvent[]): void {
  for (const event of events) {
    const reading = parseEvent(event);
    if (reading.kind === 'broken') throw new EventInvalidError(`${event.type}: ${reading.reason}`);
  }
}

/** The event as one of those that a subscription to `types` asked for, if it did. */
export function asSubscribedEvent<T extends EventType>(
  types: readonly T[],
  event: DomainEvent,
): DomainEvent<T> | undefined {
  const asked: readonly EventType[] = types;
  return asked.includes(event.type) ? (event as DomainEvent<T>) : undefined;
}
