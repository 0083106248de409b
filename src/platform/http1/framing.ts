import { MalformedMessage } from '../http-message/malformed-message.ts';

/** How the end of a body is determined (RFC 9112 §6.3). */
export type Framing =
  | { kind: 'none' }
  | { kind: 'length'; bytes: number }
  | { kind: 'chunked' }
  | { kind: 'until_close' };

const contentLength = /^\d{1,15}$/;

/**
 * The framing that the two headers declare; undefined when neither is present. Both together, and any encoding
 * but `chunked`, are rejected, since two readers could disagree on where the message ends.
 */
export function parseFraming(
  length: string | undefined,
  encoding: string | undefined,
  isHttp11: boolean,
): Framing | undefined {
  if (encoding !== undefined) {
    if (length !== undefined || !isHttp11 || encoding.toLowerCase() !== 'chunked')
      throw new MalformedMessage('transfer encoding');
    return { kind: 'chunked' };
  }
  if (length === undefined) return undefined;
  if (!contentLength.test(length)) throw new MalformedMessage('content length');
  return { kind: 'length', bytes: Number(length) };
}
