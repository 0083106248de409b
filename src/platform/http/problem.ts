import { headers, type ProblemDetails } from '@contracts/common.ts';
import { NotFoundError, ParseError, ValidationError } from 'elysia';
import { encodeUtf8 } from '../http1/binary.ts';
import { MalformedMessage, TargetTooLong } from '../http1/fields.ts';
import type { Reply } from '../http1/reply.ts';
import { isOutage } from '../outage.ts';
import { Problem, type ProblemKind, problem } from '../problems.ts';

const statusOf: Record<ProblemKind, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  too_slow: 408,
  too_large: 413,
  unsupported_media: 415,
  unprocessable: 422,
  too_many: 429,
  target_too_long: 414,
  head_too_large: 431,
  internal: 500,
  not_implemented: 501,
  unavailable: 503,
  timeout: 504,
};

/**
 * Any error as the fault that its client may see. Errors that are not faults are told as an outage
 * (503) or as `internal.error` (500); nothing of their text leaves the process.
 */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof ValidationError)
    return problem('request.invalid', { errors: validationErrors(error) });
  if (error instanceof ParseError)
    return error.cause instanceof Problem ? error.cause : problem('request.malformed');
  if (error instanceof NotFoundError) return problem('request.not_found');
  if (error instanceof TargetTooLong) return problem('request.target_too_long', { cause: error });
  if (error instanceof MalformedMessage)
    return problem(error.isTooLong ? 'request.head_too_large' : 'request.not_http', { cause: error });
  if (isOutage(error)) return problem('service.unavailable', { cause: error, retryAfterSeconds: 1 });
  return problem('internal.error', { cause: error });
}

/** The answer of our own server. */
export function problemReply(error: Problem, requestId: string | undefined): Reply {
  const { status, told, body } = problemOf(error, requestId);
  let lines = 'content-type: application/problem+json\r\ncache-control: no-store\r\n';
  for (const [name, value] of told) lines += `${name}: ${value}\r\n`;
  return { status, lines, body: encodeUtf8(body) };
}

// Copied natively: an edge that sheds makes nothing but problems, and to name all headers anew cost as much again.
const problemHeaders = new Headers({
  'content-type': 'application/problem+json',
  'cache-control': 'no-store',
});

/** The same of Bun's server, and of the apps. */
export function problemResponse(error: Problem, requestId: string | undefined): Response {
  const { status, told, body } = problemOf(error, requestId);
  const response = new Response(body, { status, headers: problemHeaders });
  for (const [name, value] of told) response.headers.set(name, value);
  return response;
}

/** `told` are the headers that not all problems have. */
function problemOf(error: Problem, requestId: string | undefined) {
  const status = statusOf[error.kind];
  const problem: ProblemDetails = {
    type: `urn:uit-go:problem:${error.code}`,
    title: error.title,
    status,
    code: error.code,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    ...(error.errors === undefined ? {} : { errors: error.errors }),
    ...(requestId === undefined ? {} : { requestId }),
  };
  const told: [name: string, value: string][] = [];
  if (requestId !== undefined) told.push([headers.requestId, requestId]);
  if (status === 401) told.push(['www-authenticate', 'Bearer']);
  if (error.allowedMethods !== undefined) told.push(['allow', error.allowedMethods.join(', ')]);
  const retryAfterSeconds = error.retryAfterSeconds ?? (status === 503 || status === 429 ? 1 : undefined);
  if (retryAfterSeconds !== undefined) told.push(['retry-after', String(Math.ceil(retryAfterSeconds))]);
  return { status, told, body: JSON.stringify(problem) };
}

/** What is wrong with a body is told so far. */
export const validationErrorsMax = 10;

// Names of fields that nobody knows are the sender's own text: the beginning is enough to find them.
const pathLengthMax = 120;
const shownPath = (path: string): string =>
  path.length > pathLengthMax ? `${path.slice(0, pathLengthMax).toWellFormed()}…` : path || '/';

interface SchemaError {
  path: string;
  message: string;
  schema?: { description?: string };
}

/** Path and message only: the refused value itself may be a password. Of types of our own the schema says what they want. */
export const publicValidationError = ({ path, message, schema }: SchemaError) => ({
  path: shownPath(path),
  message:
    message.startsWith('Expected kind') && schema?.description !== undefined
      ? `Expected ${schema.description}`
      : message,
});

function validationErrors(error: ValidationError): { path: string; message: string }[] {
  const where = error.type === 'body' ? '' : `/${error.type}`;
  const found: { path: string; message: string }[] = [];
  for (const one of error.all) {
    if (found.length === validationErrorsMax) break;
    const path = 'path' in one ? String(one.path) : '';
    const message = 'message' in one ? String(one.message) : 'not valid';
    const schema = 'schema' in one ? one.schema : {};
    found.push(publicValidationError({ path: `${where}${path}`, message, schema }));
  }
  return found;
}
