import type { Static, TSchema } from '@sinclair/typebox';
import type { TypeCheck } from '@sinclair/typebox/compiler';
import { problem } from '../problems.ts';
import { publicValidationError, validationErrorsMax } from './problem.ts';

/** The JSON body of a request, as the schema wants it. Throws as `readJson` does, and `request.invalid`. */
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

/** The body of a request as text; who asks again gets the same. */
export function readText(request: Request): Promise<string> {
  const before = texts.get(request);
  if (before !== undefined) return before;
  const text = request.text();
  texts.set(request, text);
  return text;
}

/**
 * The body of a request: an object, or null where there is none. The only reader of bodies: the framework's
 * own takes what it can't parse for no body where a body is optional, and forms for JSON. Throws
 * `request.media_type_unsupported`, `request.malformed` and `request.invalid`.
 */
export async function readJson(request: Request): Promise<object | null> {
  const text = await readText(request);
  if (text === '') return null;
  checkType(request.headers.get('content-type'));
  // The decoder has put it where the bytes were no UTF-8: to go on would alter what was sent.
  if (text.includes('\ufffd')) throw problem('request.malformed', { detail: 'the body is not valid UTF-8' });
  const value = parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw problem('request.invalid', { detail: 'the body must be a JSON object' });
  return value;
}

/** What does not say its type is JSON too: there is nothing else that we read (RFC 9110, section 8.3). */
function checkType(contentType: string | null): void {
  if (contentType === null || contentType === jsonType) return;
  const [type = ''] = contentType.split(';', 1);
  if (type.trim().toLowerCase() !== jsonType) throw problem('request.media_type_unsupported');
}

const jsonType = 'application/json';

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw problem('request.malformed', { cause });
  }
}

/** The request with a length for its body, which came without one. Throws `request.too_large`. */
export async function withBodyLength(request: Request, bytesMax: number): Promise<Request> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.length;
    if (bytes > bytesMax) throw problem('request.too_large');
    parts.push(part);
  }
  const whole = new Request(request, { body: Buffer.concat(parts) });
  whole.headers.delete('transfer-encoding');
  whole.headers.set('content-length', String(bytes));
  return whole;
}

/** No body of ours is nested so deep. */
const depthMax = 32;

/**
 * Refuses what is nested deeper than any body: the framework writes what it refuses as indented text into
 * its error, which took 9 s for 60 KB of brackets, and no stack at all for a few more. Refuses texts with
 * halves of surrogate pairs too, which UTF-8 can't write. Throws `request.invalid`.
 */
export function rejectUnreadableValues(value: unknown, depth = 0): void {
  if (typeof value === 'string' && !value.isWellFormed())
    throw problem('request.invalid', { detail: 'a text holds half of a surrogate pair' });
  if (typeof value !== 'object' || value === null) return;
  if (depth === depthMax) throw problem('request.invalid', { detail: 'nested too deep' });
  for (const part of Object.values(value)) rejectUnreadableValues(part, depth + 1);
}
