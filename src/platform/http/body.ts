import type { Static, TSchema } from '@sinclair/typebox';
import type { TypeCheck } from '@sinclair/typebox/compiler';
import { problem } from '../problems.ts';
import { publicValidationError, validationErrorsMax } from './problem.ts';

/** Reads the JSON body of a request and checks it against the schema. Throws as `readJson` does, and `request.invalid`. */
export async function readBody<T extends TSchema>(request: Request, check: TypeCheck<T>): Promise<Static<T>> {
  const value = await readJson(request);
  if (check.Check(value)) return value;
  const errors: { path: string; message: string }[] = [];
  for (const error of check.Errors(value)) {
    if (errors.length === validationErrorsMax) break;
    errors.push(publicValidationError(error));
  }
  throw problem('request.invalid', { errors });
}

const texts = new WeakMap<Request, Promise<string>>();

/** Reads the body of a request as text. Later calls get the same text. */
export function readText(request: Request): Promise<string> {
  const cached = texts.get(request);
  if (cached !== undefined) return cached;
  const text = request.text();
  texts.set(request, text);
  return text;
}

/**
 * Reads the body of a request: an object, or null when there is none. Every route uses this reader. The one of
 * the framework treats a body that it can't parse as absent when the body is optional, and accepts forms. Throws
 * `request.media_type_unsupported`, `request.malformed` and `request.invalid`.
 */
export async function readJson(request: Request): Promise<object | null> {
  const text = await readText(request);
  if (text === '') return null;
  requireJsonType(request.headers.get('content-type'));
  // The decoder replaces invalid UTF-8 with this character. To continue would alter what the client sent.
  if (text.includes('\ufffd')) throw problem('request.malformed', { detail: 'the body is not valid UTF-8' });
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw problem('request.invalid', { detail: 'the body must be a JSON object' });
  return value;
}

/** A body without a content type counts as JSON, the only type that is supported (RFC 9110, section 8.3). */
function requireJsonType(contentType: string | null): void {
  if (contentType === null || contentType === jsonType) return;
  const [type = ''] = contentType.split(';', 1);
  if (type.trim().toLowerCase() !== jsonType) throw problem('request.media_type_unsupported');
}

const jsonType = 'application/json';

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw problem('request.malformed', { cause });
  }
}

/** Buffers a body of unknown length and sets its content length. Throws `request.too_large`. */
export async function withBodyLength(request: Request, bytesMax: number): Promise<Request> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.length;
    if (bytes > bytesMax) throw problem('request.too_large');
    parts.push(part);
  }
  const buffered = new Request(request, { body: Buffer.concat(parts) });
  buffered.headers.delete('transfer-encoding');
  buffered.headers.set('content-length', String(bytes));
  return buffered;
}

/** No valid body is nested this deep. */
const depthMax = 32;

/**
 * Rejects values that are nested deeper than any valid body. The framework writes a rejected value as indented
 * text into its error, which took 9 s for 60 KB of brackets, and overflowed the stack for a few more. Also
 * rejects texts with lone surrogates, which UTF-8 can't encode. Throws `request.invalid`.
 */
export function rejectUnreadableValues(value: unknown, depth = 0): void {
  if (typeof value === 'string' && !value.isWellFormed())
    throw problem('request.invalid', { detail: 'a text contains a lone surrogate' });
  if (typeof value !== 'object' || value === null) return;
  if (depth === depthMax) throw problem('request.invalid', { detail: 'nested too deeply' });
  for (const member of Object.values(value)) rejectUnreadableValues(member, depth + 1);
}
