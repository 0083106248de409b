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

// Several events in one AMQP message: a CloudEvents batch, that is a JSON array of whole events. The work
// of the broker for a message of a quorum queue (log, index, confirm, delivery, acknowledgement) is then
// done once for all of them.

const batchContentType = 'application/cloudevents-batch+json';
const attributeNames = ['specversion', 'id', 'type', 'source', 'subject', 'time'];
export const batchEventsMax = 64;
// Stays within `eventBytesMax` even if every character takes four bytes.
const batchCharsMax = eventBytesMax / 4;

/** One event of a message that was received, alone or in a batch. */
export interface UnpackedEvent {
  result: EventParseResult;
  /**
   * The message as it would have been received had the event been sent alone. A failed event is retried
   * as this message, so that the other events of its batch are not handled again.
   */
  toSingleMessage: () => ReceivedMessage;
}

/**
 * Packs events into as few messages as possible without changing the order of any subject. Events of one
 * type share a message. A message of one type never overtakes an earlier event of the same subject and
 * another type.
 */
export function packEvents(exchange: string, events: readonly DomainEvent[]): OutgoingMessage[] {
  if (events.length < 2) return events.map((event) => encodeEvent(exchange, event));
  const messages: OutgoingMessage[] = [];
  const openBatches = new Map<string, OpenBatch>();
  const lastTypeBySubject = new Map<string, string>();
  for (const event of events) {
    const { type, subject } = event;
    const previousType = lastTypeBySubject.get(subject);
    if (previousType !== undefined && previousType !== type) closeAll();
    lastTypeBySubject.set(subject, type);
    const text = JSON.stringify({ specversion: specVersion, ...event });
    const batch = openBatches.get(type);
    if (
      batch !== undefined &&
      (batch.texts.length === batchEventsMax || batch.chars + text.length > batchCharsMax)
    )
      close(type, batch);
    add(event, text);
  }
  closeAll();
  return messages;

  function add(event: DomainEvent, text: string): void {
    const batch = openBatches.get(event.type);
    if (batch === undefined) openBatches.set(event.type, { first: event, texts: [text], chars: text.length });
    else {
      batch.texts.push(text);
      batch.chars += text.length;
    }
  }

  function close(type: string, { first, texts }: OpenBatch): void {
    openBatches.delete(type);
    messages.push(texts.length === 1 ? encodeEvent(exchange, first) : encodeBatch(exchange, type, texts));
  }

  function closeAll(): void {
    for (const [type, batch] of openBatches) close(type, batch);
    lastTypeBySubject.clear();
  }
}

interface OpenBatch {
  first: DomainEvent;
  texts: string[];
  chars: number;
}

const encodeBatch = (exchange: string, type: string, texts: readonly string[]): OutgoingMessage => ({
  exchange,
  routingKey: type,
  content: Buffer.from(`[${texts.join(',')}]`),
  options: { persistent: true, contentType: batchContentType, type },
});

/** The events of a message, one or more. A message that cannot be read is one invalid event. */
export function unpackEvents(message: ReceivedMessage): UnpackedEvent[] {
  const { content, properties } = message;
  if (properties.contentType !== batchContentType) return [wholeMessage(message, decodeEvent(message))];
  if (content.length > eventBytesMax)
    return [wholeMessage(message, { kind: 'invalid', reason: `larger than ${eventBytesMax} bytes` })];
  const values = parseArray(content);
  if (values === undefined)
    return [wholeMessage(message, { kind: 'invalid', reason: 'the body is not a batch of events' })];
  return values.map(unpackValue);
}

const wholeMessage = (message: ReceivedMessage, result: EventParseResult): UnpackedEvent => ({
  result,
  toSingleMessage: () => message,
});

function unpackValue(value: unknown): UnpackedEvent {
  const { specversion, ...attributes } = asRecord(value);
  const result: EventParseResult =
    specversion === specVersion
      ? parseEvent(attributes)
      : { kind: 'invalid', reason: `specversion is not ${specVersion}` };
  return { result, toSingleMessage: () => encodeSingleMessage(result, value) };
}

/** An invalid event keeps its readable attributes as headers, and its data, whatever that is, as the body. */
function encodeSingleMessage(result: EventParseResult, value: unknown): ReceivedMessage {
  if (result.kind === 'event') {
    const { content, options } = encodeEvent('', result.event);
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

function parseArray(content: Buffer): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(content.toString());
    return Array.isArray(value) && value.length > 0 ? value : undefined;
  } catch {
    return undefined;
  }
}

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {};
