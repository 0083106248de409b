import { MalformedMessage } from './fields.ts';

/** How the end of a body is told (RFC 9112 §6.3). */
export type Framing =
  | { kind: 'none' }
  | { kind: 'length'; bytes: number }
  | { kind: 'chunked' }
  | { kind: 'until_close' };

const contentLength = /^\d{1,15}$/;

/**
 * What the two headers say; undefined when neither is there. One of them, never both, and of encodings
 * `chunked` alone: where two readers could disagree on where a message ends, it is refused.
 */
export function parseFraming(
  length: string | undefined,
  encoding: string | undefined,
  isHttp11: boolean,
): Framing | undefined {
  if (encoding !== undefined) {
    if (length !== undefined || !isHttp11 || encoding.toLowerCase() !== 'chunked')
      throw new MalformedMessage('the encoding');
    return { kind: 'chunked' };
  }
  if (length === undefined) return undefined;
  if (!contentLength.test(length)) throw new MalformedMessage('the length');
  return { kind: 'length', bytes: Number(length) };
}
