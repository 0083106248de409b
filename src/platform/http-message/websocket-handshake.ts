import { createHash } from 'node:crypto';
import { parseListField } from './connection-fields.ts';

/** The parts of a request that decide whether it opens a WebSocket. */
export interface HandshakeRequest {
  method: string;
  isHttp11: boolean;
  /** 0 without a body, undefined when the body is chunked. */
  bodyBytes: number | undefined;
  header(name: string): string | undefined;
}

const version = '13';
/** 16 bytes in base64. */
const keyPattern = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/**
 * Whether the request opens a WebSocket (RFC 6455 §4.2.1). A request that only has `Upgrade` is an ordinary
 * request (RFC 9110 §7.8) and is answered like one.
 */
export function isWebSocketHandshake({ method, isHttp11, bodyBytes, header }: HandshakeRequest): boolean {
  return (
    method === 'GET' &&
    isHttp11 &&
    bodyBytes === 0 &&
    includesMember(header('upgrade'), 'websocket') &&
    includesMember(header('connection'), 'upgrade') &&
    header('sec-websocket-version') === version &&
    keyPattern.test(header('sec-websocket-key') ?? '')
  );
}

/** Whether the head of a 101 accepts the handshake with this key (RFC 6455 §4.2.2). */
export const acceptsWebSocketHandshake = (header: HandshakeRequest['header'], key: string): boolean =>
  header('upgrade')?.toLowerCase() === 'websocket' &&
  includesMember(header('connection'), 'upgrade') &&
  header('sec-websocket-accept') === acceptValueOf(key);

/** Whether a request to Bun's server opens a WebSocket. Bun itself checks a handshake less strictly. */
export function isWebSocketFetchRequest({ method, headers, body }: Request): boolean {
  if (!headers.has('upgrade')) return false;
  const header = (name: string) => headers.get(name) ?? undefined;
  return isWebSocketHandshake({ method, isHttp11: true, bodyBytes: body === null ? 0 : undefined, header });
}

const acceptValueOf = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

const includesMember = (value: string | undefined, name: string): boolean =>
  value !== undefined && parseListField(value).includes(name);
