import type { DomainEvent } from '@contracts/events.ts';
import { type EventParseResult, parseEvent } from './envelope.ts';
import {
  decodeEvent,
  encodeEvent,
  eventBytesMax,
  type OutgoingMessage,
  type ReceivedMessage,
  specVersion,
} from './message.ts';

// Several events as one AMQP message: a CloudEvents batch, a JSON array of whole events. What a broker
// does for a quorum queue's message (log, index, confirm, delivery, acknowledgement) it does once for all.

const batchContentType = 'application/cloudevents-batch+json';
const attributeNames = ['specversion', 'id', 'type', 'source', 'subject', 'time'];
export const batchEventsMax = 64;
// Well within `eventBytesMax`, however many bytes its characters take.
const batchCharsMax = eventBytesMax / 4;

/** An event as it arrived, alone or among others. */
export interface UnpackedEvent {
  result: EventParseResult;
  /** What would have arrived had it come alone: it fails, and is tried again, without its neighbours. */
  toSingleMessage: () => ReceivedMessage;
}

/**
 * The fewest messages that keep the order of each subject: events of one type go together, and a
 * message with another type of a subject never overtakes one that is still being filled.
 */
export function packEvents(exchange: string, events: readonly DomainEvent[]): OutgoingMessage[] {
  if (events.length < 2) return events.map((event) => encodeEvent(exchange, event));
  const messages: OutgoingMessage[] = [];
  const open = new Map<string, OpenBatch>();
  const typeOf = new Map<string, string>();
  for (const event of events) {
    const { type, subject } = event;
    const before = typeOf.get(subject);
    if (before !== undefined && before !== type) closeAll();
    typeOf.set(subject, type);
    const text = JSON.stringify({ specversion: specVersion, ...event });
    const batch = open.get(type);
    if (
      batch !== undefined &&
      (batch.texts.length === batchEventsMax || batch.chars + text.length > batchCharsMax)
    )
      close(type, batch);
    put(event, text);
  }
  closeAll();
  return messages;

  function put(event: DomainEvent, text: string): void {
    const batch = open.get(event.type);
    if (batch === undefined) open.set(event.type, { first: event, texts: [text], chars: text.length });
    else {
      batch.texts.push(text);
      batch.chars += text.length;
    }
  }

  function close(type: string, { first, texts }: OpenBatch): void {
    open.delete(type);
    messages.push(texts.length === 1 ? encodeEvent(exchange, first) : batchOf(exchange, type, texts));
  }

  function closeAll(): void {
    for (const [type, batch] of open) close(type, batch);
    typeOf.clear();
  }
}

interface OpenBatch {
  first: DomainEvent;
  texts: string[];
  chars: number;
}

const batchOf = (exchange: string, type: string, texts: readonly string[]): OutgoingMessage => ({
  exchange,
  routingKey: type,
  content: Buffer.from(`[${texts.join(',')}]`),
  options: { persistent: true, contentType: batchContentType, type },
});

/** The events of a message, one or more; what can't be read is one broken part. */
export function unpackEvents(message: ReceivedMessage): UnpackedEvent[] {
  const { content, properties } = message;
  if (properties.contentType !== batchContentType) return [whole(message, decodeEvent(message))];
  if (content.length > eventBytesMax)
    return [whole(message, { kind: 'broken', reason: `larger than ${eventBytesMax} bytes` })];
  const list = parseList(content);
  if (list === undefined)
    return [whole(message, { kind: 'broken', reason: 'the body is not a batch of events' })];
  return list.map(partOf);
}

const whole = (message: ReceivedMessage, result: EventParseResult): UnpackedEvent => ({
  result,
  toSingleMessage: () => message,
});

function partOf(value: unknown): UnpackedEvent {
  const { specversion, ...attributes } = asRecord(value);
  const result: EventParseResult =
    specversion === specVersion
      ? parseEvent(attributes)
      : { kind: 'broken', reason: `specversion is not ${specVersion}` };
  return { result, toSingleMessage: () => aloneOf(result, value) };
}

/** A broken event keeps what can be read of its attributes as headers, and its data, whatever that is, as the body. */
function aloneOf(reading: EventParseResult, value: unknown): ReceivedMessage {
  if (reading.kind === 'event') {
    const { content, options } = encodeEvent('', reading.event);
    return { content, properties: options };
  }
  const { data = value, ...attributes } = asRecord(value);
  const headers: Record<string, string> = {};
  for (const name of attributeNames) {
    const attribute = attributes[name];
    if (typeof attribute === 'string') headers[`ce-${name}`] = attribute;
  }
  return {
    content: Buffer.from(JSON.stringify(data)),
    properties: { contentType: 'application/json', headers },
  };
}

function parseList(content: Buffer): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(content.toString());
    return Array.isArray(value) && value.length > 0 ? value : undefined;
  } catch {
    return undefined;
  }
}

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {};
