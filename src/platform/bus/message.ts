import { createHash } from 'node:crypto';
import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent } from '@contracts/events.ts';
import type { Message, Options } from 'amqplib';
import type { DeadLetter } from './bus.ts';
import { type EventParseResult, parseEvent } from './envelope.ts';

// The AMQP form of an event (CloudEvents, binary mode): its data is the body, its attributes are headers.

/** A message to publish. */
export interface OutgoingMessage {
  exchange: string;
  routingKey: string;
  content: Buffer;
  options: Options.Publish;
}

/** The parts of a received message that are used here; also built for one event of a batch that is sent on alone. */
export interface ReceivedMessage {
  content: Buffer;
  properties: {
    headers?: Record<string, unknown> | undefined;
    contentType?: unknown;
    messageId?: unknown;
    type?: unknown;
  };
}

/** The failed attempts to handle a message, kept in its headers. */
export interface FailureRecord {
  attempts: number;
  firstFailedAt: string;
  lastFailedAt: string;
  reason: string;
}

/** Larger messages are rejected by publishers, and consumers move them to the dead letters. */
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
    return { kind: 'invalid', reason: `larger than ${eventBytesMax} bytes` };
  const version = headersOf(message)['ce-specversion'];
  if (version !== specVersion) return { kind: 'invalid', reason: `ce-specversion is not ${specVersion}` };
  const data = parse(message.content);
  if (data === undefined) return { kind: 'invalid', reason: 'the body is not JSON' };
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

/** 1 on the first delivery. Deliveries that were never settled count as attempts too. */
export function attemptOf(message: ReceivedMessage): number {
  const headers = headersOf(message);
  return numberOf(headers[failureHeaders.attempts]) + numberOf(headers['x-delivery-count']) + 1;
}

/** The message for `queue` with its failures recorded, without the headers that the broker added. */
export function buildFailedMessage(
  queue: string,
  message: ReceivedMessage,
  attempt: number,
  reason: string,
  nowMs: number,
): OutgoingMessage {
  const headers = headersOf(message);
  const nowText = formatTimestamp(nowMs);
  const ownHeaders = Object.entries(headers).filter(([name]) => !name.startsWith('x-'));
  return {
    exchange: '',
    routingKey: queue,
    content: message.content,
    options: {
      ...textProperties(message.properties),
      persistent: true,
      mandatory: true,
      headers: {
        ...Object.fromEntries(ownHeaders),
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

/** The message as a new one for `queue`: its failures are removed and its redrives are counted. */
export function buildRedrivenMessage(queue: string, message: Message): OutgoingMessage {
  const failures: readonly string[] = Object.values(failureHeaders);
  const headers = headersOf(message);
  const ownHeaders = Object.entries(headers).filter(
    ([name]) => !name.startsWith('x-') && !failures.includes(name),
  );
  return {
    exchange: '',
    routingKey: queue,
    content: message.content,
    options: {
      ...textProperties(message.properties),
      persistent: true,
      mandatory: true,
      headers: { ...Object.fromEntries(ownHeaders), [redrivesHeader]: numberOf(headers[redrivesHeader]) + 1 },
    },
  };
}

const bodyTextLengthMax = 10_000;

/** Reads a message of a dead-letter queue. One that the broker itself moved there has only the header `x-death`. */
export function readDeadLetter(queue: string, message: Message): DeadLetter {
  const headers = headersOf(message);
  const death = message.properties.headers?.['x-death']?.[0];
  const deadSince = formatTimestamp((death?.time.value ?? 0) * 1000);
  const data = message.content.length > eventBytesMax ? undefined : parse(message.content);
  const parsed = decodeEvent(message);
  return {
    queue,
    id: idOf(message),
    type: textOf(headers['ce-type']) ?? textOf(message.properties.type) ?? '',
    reason: textOf(headers[failureHeaders.reason]) ?? `the broker gave up: ${death?.reason ?? 'unknown'}`,
    attempts: numberOf(headers[failureHeaders.attempts]) || numberOf(death?.count),
    redrives: numberOf(headers[redrivesHeader]),
    firstFailedAt: textOf(headers[failureHeaders.firstFailedAt]) ?? deadSince,
    lastFailedAt: textOf(headers[failureHeaders.lastFailedAt]) ?? deadSince,
    bytes: message.content.length,
    body:
      parsed.kind === 'event'
        ? parsed.event
        : (data ?? message.content.toString('utf8', 0, bodyTextLengthMax)),
  };
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function idOf({ content, properties }: Message): string {
  const headers: Record<string, unknown> = properties.headers ?? {};
  for (const id of [textOf(headers['ce-id']), textOf(properties.messageId)])
    if (id !== undefined && uuidPattern.test(id)) return id;
  const hash = createHash('sha256');
  for (const name of [failureHeaders.firstFailedAt, failureHeaders.lastFailedAt, 'ce-type'])
    hash.update(`${headers[name]}\n`);
  const digest = hash.update(content).digest('hex');
  return digest.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

const headersOf = ({ properties }: ReceivedMessage): Record<string, unknown> => properties.headers ?? {};
const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);
const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
