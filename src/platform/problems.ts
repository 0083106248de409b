/**
 * A fault is an error that the caller may know of: a stable code, a public title and, where it helps,
 * a public detail. What must stay inside goes into `cause` and so into the log only.
 */
export type ProblemKind =
  | 'invalid' // the request can never succeed as it stands
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed' // the path has other methods
  | 'not_implemented' // no path has that method
  | 'unsupported_media' // the body is of a type that is not read
  | 'conflict' // the state of things forbids it now
  | 'unprocessable' // well formed, but contradicts what was said before
  | 'too_large'
  | 'head_too_large'
  | 'target_too_long'
  | 'too_slow' // the request did not come in time
  | 'too_many' // over a limit: wait
  | 'internal' // a bug of ours: the client hears nothing but that
  | 'unavailable' // a part we need is down or overloaded: wait
  | 'timeout'; // nobody waits for the answer any more, or it is unknown

export interface ProblemOptions {
  detail?: string;
  cause?: unknown;
  retryAfterSeconds?: number;
  errors?: { path: string; message: string }[];
  /** The methods that the path has. */
  allowedMethods?: readonly string[];
}

export class Problem<Code extends string = string> extends Error {
  override readonly name = 'Fault';
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
 * Declares a context's faults in one table and returns the function that makes them:
 * `throw fault('trip.not_found')`. The codes are the union that the compiler knows.
 */
export function defineProblems<Table extends Record<string, readonly [ProblemKind, string]>>(table: Table) {
  return <Code extends keyof Table & string>(code: Code, options?: ProblemOptions): Problem<Code> => {
    const [kind, title] = table[code] as readonly [ProblemKind, string];
    return new Problem(code, kind, title, options);
  };
}

/** Faults that any part may raise. */
export const problem = defineProblems({
  'request.invalid': ['invalid', 'The request is not valid'],
  'request.malformed': ['invalid', 'The body is not valid JSON'],
  'request.not_http': ['invalid', 'The request is not valid HTTP/1.1'],
  'request.head_too_large': ['head_too_large', 'The head of the request is larger than allowed'],
  'request.target_too_long': ['target_too_long', 'The target of the request is longer than allowed'],
  'request.too_slow': ['too_slow', 'The request did not come in time'],
  'request.too_large': ['too_large', 'The body is larger than allowed'],
  'request.not_found': ['not_found', 'There is no such route'],
  'request.method_not_allowed': ['method_not_allowed', 'The route does not have this method'],
  'request.method_unknown': ['not_implemented', 'The method is not known here'],
  'request.media_type_unsupported': ['unsupported_media', 'Bodies must be application/json'],
  'request.deadline_invalid': ['invalid', 'X-Deadline-Ms must be a time in Unix milliseconds'],
  'request.deadline_passed': ['timeout', 'The deadline of the request has passed'],
  'request.cursor_invalid': ['invalid', 'The cursor is not one that this list gave out'],
  'auth.token_missing': ['unauthenticated', 'A bearer token is needed'],
  'auth.token_invalid': ['unauthenticated', 'The token is not valid'],
  'auth.token_expired': ['unauthenticated', 'The token has expired'],
  'auth.token_revoked': ['unauthenticated', 'The session has ended; log in again'],
  'auth.role_forbidden': ['forbidden', 'Your role may not do this'],
  'auth.service_forbidden': ['forbidden', 'Only services of this deployment may call this'],
  'idempotency.key_invalid': ['invalid', 'Idempotency-Key must be 1 to 200 visible ASCII characters'],
  'idempotency.key_reused': ['unprocessable', 'This Idempotency-Key came with another request before'],
  'internal.error': ['internal', 'Something went wrong on our side'],
  'service.unavailable': ['unavailable', 'A part of the system is not available; try again soon'],
});
