import type { FuzzCase } from './case.ts';
import { marker } from './values.ts';
import type { WireExchange, WireResponse } from './wire.ts';

/** A response that violates the expectation of its case. */
export interface UnexpectedAnswer {
  kind: 'server_error' | 'hang' | 'leak' | 'starved' | 'answer';
  case: string;
  label: string;
  reason: string;
}

// Enough for the detail and the locations of errors, but not for the request itself.
const problemLengthMax = 4_096;

/** Patterns of internal details that must not leak. */
const internalDetails = [
  /\bat \S+ \(?\S+\.[jt]s:\d+/,
  /node_modules/,
  /\b(postgres|postgresql|ioredis|redis|amqplib|rabbitmq|elysia|typebox|bun)\b/i,
  /\b(ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOENT)\b/,
  /\b(TypeError|SyntaxError|RangeError|ReferenceError)\b/,
  /\b(select|insert into|delete from|update) .{1,80} (from|values|set|where)\b/i,
  /relation "|column "|syntax error at/i,
  /\/(home|root|usr|tmp|var|work|app)\//,
];

/** Finds everything unexpected in an exchange; empty if the responses are as expected. */
export function findUnexpected(
  fuzzCase: FuzzCase,
  { answers, hung, closed }: WireExchange,
): UnexpectedAnswer[] {
  const results: UnexpectedAnswer[] = [];
  const add = (kind: UnexpectedAnswer['kind'], reason: string) =>
    results.push({ kind, case: fuzzCase.kind, label: fuzzCase.label, reason });
  if (hung) add('hang', 'neither answered nor closed');
  for (const answer of answers) {
    if (isServerError(answer, fuzzCase)) add('server_error', `${answer.status} ${answer.body.slice(0, 200)}`);
    const leak = findLeak(answer);
    if (leak !== undefined) add('leak', leak);
  }
  const reason = checkByKind(fuzzCase, answers, closed);
  if (reason !== undefined) add('answer', reason);
  return results;
}

function checkByKind(
  { expects, isHead }: FuzzCase,
  answers: readonly WireResponse[],
  closed: boolean,
): string | undefined {
  switch (expects.like) {
    case 'api':
      return checkApi(answers, closed, expects.statuses, isHead);
    case 'malformed':
      return checkMalformed(answers, expects.mayServe);
    case 'slow':
      return checkSlow(answers, expects.served);
  }
}

function checkSlow(answers: readonly WireResponse[], served: number): string | undefined {
  const statuses = answers.map(({ status }) => status);
  const [rejection = 400, ...more] = statuses.slice(served);
  if (statuses.slice(0, served).some((status) => status !== 200) || statuses.length < served)
    return `complete requests were answered with ${statuses}`;
  if (rejection < 400 || !hasOnlyClosing400(more))
    return `an incomplete request was answered with ${statuses}`;
  return undefined;
}

function checkMalformed(answers: readonly WireResponse[], mayServe: boolean): string | undefined {
  const [answer, ...more] = answers;
  if (!hasOnlyClosing400(more.map(({ status }) => status)))
    return `treated as ${answers.length} requests: ${answers.map(({ status }) => status)}`;
  if (answer !== undefined && answer.status < 400 && !mayServe) return `accepted with ${answer.status}`;
  return undefined;
}

/** After an early rejection, only 400 responses may follow before the connection is closed. */
const hasOnlyClosing400 = (more: readonly number[]): boolean => more.every((status) => status === 400);

function checkApi(
  answers: readonly WireResponse[],
  closed: boolean,
  statuses: readonly number[],
  isHead: boolean,
): string | undefined {
  const [answer, ...more] = answers;
  if (answer === undefined) return closed ? 'the connection was closed without a response' : undefined;
  if (more.length > 0) return `answered ${answers.length} times`;
  const { status, headers, body } = answer;
  if (body.length > problemLengthMax && status >= 400) return `a problem of ${body.length} characters`;
  if (status >= 200 && status < 300)
    return statuses.includes(status) || statuses.length === 0 ? undefined : `${status} is not documented`;
  if (status < 400) return `answered ${status}`;
  if (headers.get('content-type') !== 'application/problem+json')
    return isHead
      ? undefined
      : `${status} is not problem+json but ${headers.get('content-type')}: ${body.slice(0, 100)}`;
  return isHead ? undefined : findProblemError(status, body);
}

function findProblemError(status: number, body: string): string | undefined {
  try {
    const problem: unknown = JSON.parse(body);
    const fields = typeof problem === 'object' && problem !== null ? { ...problem } : {};
    if (!('code' in fields) || typeof fields.code !== 'string')
      return `a problem without a code: ${body.slice(0, 200)}`;
    if (!('status' in fields) || fields.status !== status)
      return `a problem with another status: ${body.slice(0, 200)}`;
    return undefined;
  } catch {
    return `a problem that is not JSON: ${body.slice(0, 200)}`;
  }
}

/** 501 and 505 reject unsupported HTTP; 504 answers a deadline that the request itself set. */
function isServerError(answer: WireResponse, { expects, isHead }: FuzzCase): boolean {
  const { status, body } = answer;
  if (status < 500 || isShed(answer)) return false;
  if (status === 501 && (isHead || body.includes('"request.method_unknown"'))) return false;
  if (expects.like === 'malformed' && (status === 501 || status === 505)) return false;
  return !(status === 504 && (isHead || body.includes('"request.deadline_passed"')));
}

/** Whether the response is a 503 with Retry-After. */
export const isShed = ({ status, headers }: WireResponse): boolean =>
  status === 503 && headers.has('retry-after');

function findLeak({ status, headers, body }: WireResponse): string | undefined {
  if (headers.has('server') || headers.has('x-powered-by')) return 'a header names the server software';
  if (status < 400) return undefined;
  if (body.includes(marker)) return `repeats rejected input: ${body.slice(0, 200)}`;
  const leakedPattern = internalDetails.find((pattern) => pattern.test(body));
  return leakedPattern === undefined ? undefined : `${leakedPattern} in ${body.slice(0, 300)}`;
}
