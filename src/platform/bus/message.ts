import { createHash } from 'node:crypto';
import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent } from '@contracts/events.ts';
import type { Message, Options } from 'amqplib';
import type { DeadLetter } from './bus.ts';
import { type EventParseResult, parseEvent } from './envelope.ts';

// An event as an AMQP message: its data is the body, its CloudEvents attributes are headers.

/** What is handed to the broker. */
export interface OutgoingMessage {
  exchange: string;
  routingKey: string;
  content: Buffer;
  options: Options.Publish;
}

/** What matters of a message that came, or of one event of a batch that is sent on alone. */
export interface ReceivedMessage {
  content: Buffer;
  properties: {
    headers?: Record<string, unknown> | undefined;
    contentType?: unknown;
    messageId?: unknown;
    type?: unknown;
  };
}

/** How often the message was handled in vain so far, and how that went. */
export interface FailureRecord {
  attempts: number;
  firstFailedAt: string;
  lastFailedAt: string;
  reason: string;
}

/** Larger messages are refused by publishers and go to the dead letters at consumers. */
export const eventBytesMax = 256 * 1024;

export const specVersion = '1.0';
const failureHeaders = {
  attempts: 'uitgo-attempts',
  firstFailedAt: 'uitgo-first-failed-at',
  lastFailedAt: 'uitgo-last-failed-at',
  reason: 'uitgo-reason',
} as const satisfies Record<keyof FailureRecord, string>;
const redrivesHeader = 'uitgo-redrives';

export function encodeEvent(exchange: string, event: DomainEvent): OutgoingMessage {
  return {
    exchange,
    routingKey: event.type,
    content: Buffer.from(JSON.stringify(event.data)),
    options: {
      persistent: true,
      contentType: 'application/json',
      messageId: event.id,
      type: event.type,
      headers: {
        'ce-specversion': specVersion,
        'ce-id': event.id,
        'ce-type': event.type,
        'ce-source': event.source,
        'ce-subject': event.subject,
        'ce-time': event.time,
        ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
      },
    },
  };
}

export function decodeEvent(message: ReceivedMessage): EventParseResult {
  if (message.content.length > eventBytesMax)
    return { kind: 'broken', reason: `larger than ${eventBytesMax} bytes` };
  const version = headersOf(message)['ce-specversion'];
  if (version !== specVersion) return { kind: 'broken', reason: `ce-specversion is not ${specVersion}` };
  const data = parse(message.content);
  if (data === undefined) return { kind: 'broken', reason: 'the body is not JSON' };
  return parseEvent(envelopeOf(message, data));
}

function envelopeOf(message: ReceivedMessage, data: unknown): Record<string, unknown> {
  const headers = headersOf(message);
  return {
    id: headers['ce-id'],
    type: headers['ce-type'],
    source: headers['ce-source'],
    subject: headers['ce-subject'],
    time: headers['ce-time'],
    ...(headers.traceparent === undefined ? {} : { traceparent: headers.traceparent }),
    data,
  };
}

function parse(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString());
  } catch {
    return undefined;
  }
}

/** 1 on the first delivery; deliveries that were never settled count as attempts too. */
export function attemptOf(message: ReceivedMessage): number {
  const headers = headersOf(message);
  return number(headers[failureHeaders.attempts]) + number(headers['x-delivery-count']) + 1;
}

/** The same message for `queue`, with its failures noted. What the broker wrote on it stays behind. */
export function buildFailedMessage(
  queue: string,
  message: ReceivedMessage,
  attempt: number,
  reason: string,
  nowMs: number,
): OutgoingMessage {
  const headers = headersOf(message);
  const nowText = formatTimestamp(nowMs);
  const kept = Object.entries(headers).filter(([name]) => !name.startsWith('x-'));
  return {
    exchange: '',
    routingKey: queue,
    content: message.content,
    options: {
      ...textProperties(message.properties),
      persistent: true,
      mandatory: true,
      headers: {
        ...Object.fromEntries(kept),
        [failureHeaders.attempts]: attempt,
        [failureHeaders.firstFailedAt]: headers[failureHeaders.firstFailedAt] ?? nowText,
        [failureHeaders.lastFailedAt]: nowText,
        [failureHeaders.reason]: reason,
      },
    },
  };
}

function textProperties({ contentType, messageId, type }: ReceivedMessage['properties']): Options.Publish {
  const options: Options.Publish = {};
  if (typeof contentType === 'string') options.contentType = contentType;
  if (typeof messageId === 'string') options.messageId = messageId;
  if (typeof type === 'string') options.type = type;
  return options;
}

/** The same message as new for `queue`: its failures are forgotten, that it was sent back is not. */
export function buildRedrivenMessage(queue: string, message: Message): OutgoingMessage {
  const failures: readonly string[] = Object.values(failureHeaders);
  const headers = headersOf(message);
  const kept = Object.entries(headers).filter(([name]) => !name.startsWith('x-') && !failures.includes(name));
  return {
    exchange: '',
    routingKey: queue,
    content: message.content,
    options: {
      ...textProperties(message.properties),
      persistent: true,
      mandatory: true,
      headers: { ...Object.fromEntries(kept), [redrivesHeader]: number(headers[redrivesHeader]) + 1 },
    },
  };
}

const bodyTextLengthMax = 10_000;

/** A message of a dead-letter queue. Those that the broker itself moved there carry only its `x-death`. */
export function readDeadLetter(queue: string, message: Message): DeadLetter {
  const headers = headersOf(message);
  const death = message.properties.headers?.['x-death']?.[0];
  const diedAt = formatTimestamp((death?.time.value ?? 0) * 1000);
  const data = message.content.length > eventBytesMax ? undefined : parse(message.content);
  const reading = decodeEvent(message);
  return {
    queue,
    id: idOf(message),
    type: text(headers['ce-type']) ?? text(message.properties.type) ?? '',
    reason: text(headers[failureHeaders.reason]) ?? `the broker gave up: ${death?.reason ?? 'unknown'}`,
    attempts: number(headers[failureHeaders.attempts]) || number(death?.count),
    redrives: number(headers[redrivesHeader]),
    firstFailedAt: text(headers[failureHeaders.firstFailedAt]) ?? diedAt,
    lastFailedAt: text(headers[failureHeaders.lastFailedAt]) ?? diedAt,
    bytes: message.content.length,
    body:
      reading.kind === 'event'
        ? reading.event
        : (data ?? message.content.toString('utf8', 0, bodyTextLengthMax)),
  };
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function idOf({ content, properties }: Message): string {
  const headers: Record<string, unknown> = properties.headers ?? {};
  for (const id of [text(headers['ce-id']), text(properties.messageId)])
    if (id !== undefined && uuidPattern.test(id)) return id;
  const hash = createHash('sha256');
  for (const name of [failureHeaders.firstFailedAt, failureHeaders.lastFailedAt, 'ce-type'])
    hash.update(`${headers[name]}\n`);
  const digest = hash.update(content).digest('hex');
  return digest.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const headersOf = ({ properties }: ReceivedMessage): Record<string, unknown> => properties.headers ?? {};
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
