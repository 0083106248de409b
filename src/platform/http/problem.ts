import { headers, type ProblemDetails } from '@contracts/common.ts';
import { NotFoundError, ParseError, ValidationError } from 'elysia';
import { MalformedMessage, TargetTooLong } from '../http-message/malformed-message.ts';
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
 * Converts any error to the problem that the client may see. An error that is not a problem becomes
 * `service.unavailable` (503) or `internal.error` (500), and its text never leaves the process.
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

// Cloning these headers is native code. An edge that sheds load builds nothing but problems, and setting every
// header one by one doubled the cost.
const problemHeaders = new Headers({
  'content-type': 'application/problem+json',
  'cache-control': 'no-store',
});

/** The problem as a `Response`, for Bun's server and the Elysia apps. */
export function problemResponse(error: Problem, requestId: string | undefined): Response {
  const { status, extraHeaders, body } = serializeProblem(error, requestId);
  const response = new Response(body, { status, headers: problemHeaders });
  for (const [name, value] of extraHeaders) response.headers.set(name, value);
  return response;
}

/** `extraHeaders` are the headers that only some problems have. */
export function serializeProblem(error: Problem, requestId: string | undefined) {
  const status = statusOf[error.kind];
  const details: ProblemDetails = {
    type: `urn:uit-go:problem:${error.code}`,
    title: error.title,
    status,
    code: error.code,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    ...(error.errors === undefined ? {} : { errors: error.errors }),
    ...(requestId === undefined ? {} : { requestId }),
  };
  const extraHeaders: [name: string, value: string][] = [];
  if (requestId !== undefined) extraHeaders.push([headers.requestId, requestId]);
  if (status === 401) extraHeaders.push(['www-authenticate', 'Bearer']);
  if (error.allowedMethods !== undefined) extraHeaders.push(['allow', error.allowedMethods.join(', ')]);
  const retryAfterSeconds = error.retryAfterSeconds ?? (status === 503 || status === 429 ? 1 : undefined);
  if (retryAfterSeconds !== undefined)
    extraHeaders.push(['retry-after', String(Math.ceil(retryAfterSeconds))]);
  return { status, extraHeaders, body: JSON.stringify(details) };
}

/** A response lists at most this many validation errors. */
export const validationErrorsMax = 10;

// Names of unknown fields are text of the sender. Their beginning is enough to find them.
const pathLengthMax = 120;
const truncatePath = (path: string): string =>
  path.length > pathLengthMax ? `${path.slice(0, pathLengthMax).toWellFormed()}…` : path || '/';

interface SchemaError {
  path: string;
  message: string;
  schema?: { description?: string };
}

/**
 * Keeps path and message only, because the rejected value may be a password. For custom types the message
 * comes from the schema's description.
 */
export const publicValidationError = ({ path, message, schema }: SchemaError) => ({
  path: truncatePath(path),
  message:
    message.startsWith('Expected kind') && schema?.description !== undefined
      ? `Expected ${schema.description}`
      : message,
});

function validationErrors(error: ValidationError): { path: string; message: string }[] {
  const prefix = error.type === 'body' ? '' : `/${error.type}`;
  const publicErrors: { path: string; message: string }[] = [];
  for (const schemaError of error.all) {
    if (publicErrors.length === validationErrorsMax) break;
    const path = 'path' in schemaError ? String(schemaError.path) : '';
    const message = 'message' in schemaError ? String(schemaError.message) : 'not valid';
    const schema = 'schema' in schemaError ? schemaError.schema : {};
    publicErrors.push(publicValidationError({ path: `${prefix}${path}`, message, schema }));
  }
  return publicErrors;
}
