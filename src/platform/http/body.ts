import type { Static, TSchema } from '@sinclair/typebox';
import type { TypeCheck } from '@sinclair/typebox/compiler';
import { fault } from '../faults.ts';
import { errorsMax, shownPath } from './problem.ts';

/** The JSON body of a request, as the schema wants it. Throws `request.malformed` and `request.invalid`. */
export async function readBody<T extends TSchema>(request: Request, check: TypeCheck<T>): Promise<Static<T>> {
  const value = await readJson(request);
  if (check.Check(value)) return value;
  const errors: { path: string; message: string }[] = [];
  for (const { path, message } of check.Errors(value)) {
    if (errors.length === errorsMax) break;
    // Never the value: it may be a password.
    errors.push({ path: shownPath(path), message });
  }
  throw fault('request.invalid', { errors });
}

/** The request with a length for its body, which came without one. Throws `request.too_large`. */
export async function withBodyLength(request: Request, bytesMax: number): Promise<Request> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.length;
    if (bytes > bytesMax) throw fault('request.too_large');
    parts.push(part);
  }
  const whole = new Request(request, { body: Buffer.concat(parts) });
  whole.headers.delete('transfer-encoding');
  whole.headers.set('content-length', String(bytes));
  return whole;
}

async function readJson(request: Request): Promise<unknown> {
  try {
    return await request.json();
  } catch (cause) {
    throw fault('request.malformed', { cause });
  }
}

/** No body of ours is nested so deep. */
const depthMax = 32;

/**
 * Refuses what is nested deeper than any body: the framework writes what it refuses as indented text into
 * its error, which took 9 s for 60 KB of brackets, and no stack at all for a few more. Throws `request.invalid`.
 */
export function checkDepth(body: unknown, depth = 0): void {
  if (typeof body !== 'object' || body === null) return;
  if (depth === depthMax) throw fault('request.invalid', { detail: 'nested too deep' });
  for (const part of Object.values(body)) checkDepth(part, depth + 1);
}
