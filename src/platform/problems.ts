/**
 * A problem (RFC 9457) is an error that the caller may see: a stable code, a public title and, where it helps, a
 * public detail. Internal information goes into `cause`, which is only logged.
 */
export type ProblemKind =
  | 'invalid' // the request can never succeed as it is
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed' // the path exists with other methods
  | 'not_implemented' // no path supports that method
  | 'unsupported_media' // the media type of the body is not supported
  | 'conflict' // the current state does not allow it
  | 'unprocessable' // well formed, but contradicts an earlier request
  | 'too_large'
  | 'head_too_large'
  | 'target_too_long'
  | 'too_slow' // the request did not arrive in time
  | 'too_many' // over a rate limit: retry later
  | 'internal' // a bug; the client gets no details
  | 'unavailable' // a dependency is down or overloaded: retry later
  | 'timeout'; // the deadline has passed, or the outcome is unknown

export interface ProblemOptions {
  detail?: string;
  cause?: unknown;
  retryAfterSeconds?: number;
  errors?: { path: string; message: string }[];
  /** The methods that the path supports. */
  allowedMethods?: readonly string[];
}

export class Problem<Code extends string = string> extends Error {
  override readonly name = 'Problem';
  readonly detail: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly errors: { path: string; message: string }[] | undefined;
  readonly allowedMethods: readonly string[] | undefined;

  constructor(
    readonly code: Code,
    readonly kind: ProblemKind,
    readonly title: string,
    options: ProblemOptions = {},
  ) {
    super(`${code}: ${options.detail ?? title}`, { cause: options.cause });
    this.detail = options.detail;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.errors = options.errors;
    this.allowedMethods = options.allowedMethods;
  }
}

/**
 * Declares the problems of a context in one table and returns the function that creates them, for example
 * `throw tripProblem('trip.not_found')`. The compiler knows the union of codes.
 */
export function defineProblems<Table extends Record<string, readonly [ProblemKind, string]>>(table: Table) {
  return <Code extends keyof Table & string>(code: Code, options?: ProblemOptions): Problem<Code> => {
    const [kind, title] = table[code] as readonly [ProblemKind, string];
    return new Problem(code, kind, title, options);
  };
}

/** Problems that any part of the system may raise. */
export const problem = defineProblems({
  'request.invalid': ['invalid', 'Request is invalid'],
  'request.malformed': ['invalid', 'Request body is not valid JSON'],
  'request.not_http': ['invalid', 'Request is not valid HTTP/1.1'],
  'request.head_too_large': ['head_too_large', 'Request head is too large'],
  'request.target_too_long': ['target_too_long', 'Request target is too long'],
  'request.too_slow': ['too_slow', 'Request took too long to arrive'],
  'request.too_large': ['too_large', 'Request body is too large'],
  'request.not_found': ['not_found', 'Route not found'],
  'request.method_not_allowed': ['method_not_allowed', 'Method not allowed'],
  'request.method_unknown': ['not_implemented', 'Method is not supported'],
  'request.media_type_unsupported': ['unsupported_media', 'Request body must be application/json'],
  'request.deadline_invalid': ['invalid', 'X-Deadline-Ms must be a time in Unix milliseconds'],
  'request.deadline_passed': ['timeout', 'Request deadline has passed'],
  'request.cursor_invalid': ['invalid', 'Cursor is invalid for this list'],
  'auth.token_missing': ['unauthenticated', 'Bearer token is missing'],
  'auth.token_invalid': ['unauthenticated', 'Token is invalid'],
  'auth.token_expired': ['unauthenticated', 'Token has expired'],
  'auth.token_revoked': ['unauthenticated', 'Session has ended, log in again'],
  'auth.role_forbidden': ['forbidden', 'Role is not allowed to do this'],
  'auth.service_forbidden': ['forbidden', 'Only services of this deployment may call this route'],
  'idempotency.key_invalid': ['invalid', 'Idempotency-Key must be 1 to 200 visible ASCII characters'],
  'idempotency.key_reused': ['unprocessable', 'Idempotency-Key was used for a different request'],
  'internal.error': ['internal', 'Internal server error'],
  'service.unavailable': ['unavailable', 'Service unavailable, retry later'],
});
