import { createHash } from 'node:crypto';
import { parseListField } from '../http1/fields.ts';

/** What of a request decides whether it opens a WebSocket. */
export interface HandshakeRequest {
  method: string;
  isHttp11: boolean;
  /** 0 when there is none, undefined when it comes in chunks. */
  bodyBytes: number | undefined;
  header(name: string): string | undefined;
}

const version = '13';
/** 16 bytes in base64. */
const keyPattern = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/**
 * Whether the request opens a WebSocket (RFC 6455 §4.2.1). One that only says `Upgrade` is an ordinary
 * request (RFC 9110 §7.8), and is answered as such.
 */
export function isWebSocketHandshake({ method, isHttp11, bodyBytes, header }: HandshakeRequest): boolean {
  return (
    method === 'GET' &&
    isHttp11 &&
    bodyBytes === 0 &&
    lists(header('upgrade'), 'websocket') &&
    lists(header('connection'), 'upgrade') &&
    header('sec-websocket-version') === version &&
    keyPattern.test(header('sec-websocket-key') ?? '')
  );
}

/** Whether the head of a 101 agrees to the handshake with this key (RFC 6455 §4.2.2). */
export const acceptsWebSocketHandshake = (header: HandshakeRequest['header'], key: string): boolean =>
  header('upgrade')?.toLowerCase() === 'websocket' &&
  lists(header('connection'), 'upgrade') &&
  header('sec-websocket-accept') === acceptOf(key);

/** Whether a request to Bun's server opens a WebSocket: Bun reads a handshake less strictly. */
export function isWebSocketFetchRequest({ method, headers, body }: Request): boolean {
  if (!headers.has('upgrade')) return false;
  const header = (name: string) => headers.get(name) ?? undefined;
  return isWebSocketHandshake({ method, isHttp11: true, bodyBytes: body === null ? 0 : undefined, header });
}

const acceptOf = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

const lists = (value: string | undefined, name: string): boolean =>
  value !== undefined && parseListField(value).includes(name);
