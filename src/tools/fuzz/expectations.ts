import type { FuzzCase } from './cases.ts';
import { marker } from './values.ts';
import type { WireExchange, WireResponse } from './wire.ts';

/** What is wrong with how a case was answered. */
export interface UnexpectedAnswer {
  kind: 'server_error' | 'hang' | 'leak' | 'starved' | 'answer';
  case: string;
  label: string;
  reason: string;
}

// Its detail and the places of what is wrong, not what was sent.
const problemLengthMax = 4_096;

/** What only the inside of the system would say. */
const insides = [
  /\bat \S+ \(?\S+\.[jt]s:\d+/,
  /node_modules/,
  /\b(postgres|postgresql|ioredis|redis|amqplib|rabbitmq|elysia|typebox|bun)\b/i,
  /\b(ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOENT)\b/,
  /\b(TypeError|SyntaxError|RangeError|ReferenceError)\b/,
  /\b(select|insert into|delete from|update) .{1,80} (from|values|set|where)\b/i,
  /relation "|column "|syntax error at/i,
  /\/(home|root|usr|tmp|var|work|app)\//,
];

/** `hung` and malformed cases too. Nothing for an answer as it should be. */
export function findUnexpected(one: FuzzCase, { answers, hung, closed }: WireExchange): UnexpectedAnswer[] {
  const all: UnexpectedAnswer[] = [];
  const found = (kind: UnexpectedAnswer['kind'], reason: string) =>
    all.push({ kind, case: one.kind, label: one.label, reason });
  if (hung) found('hang', 'neither answered nor ended');
  for (const answer of answers) {
    if (isServerError(answer, one)) found('server_error', `${answer.status} ${answer.body.slice(0, 200)}`);
    const leaked = leakOf(answer);
    if (leaked !== undefined) found('leak', leaked);
  }
  const reason = judgeAnswers(one, answers, closed);
  if (reason !== undefined) found('answer', reason);
  return all;
}

function judgeAnswers(
  { expects, isHead }: FuzzCase,
  answers: readonly WireResponse[],
  closed: boolean,
): string | undefined {
  switch (expects.like) {
    case 'api':
      return judgeApi(answers, closed, expects.statuses, isHead);
    case 'malformed':
      return judgeMalformed(answers, expects.mayServe);
    case 'slow':
      return judgeSlow(answers, expects.served);
  }
}

function judgeSlow(answers: readonly WireResponse[], served: number): string | undefined {
  const statuses = answers.map(({ status }) => status);
  const [refusal = 400, ...more] = statuses.slice(served);
  if (statuses.slice(0, served).some((status) => status !== 200) || statuses.length < served)
    return `whole requests were answered with ${statuses}`;
  if (refusal < 400 || !isJustAnEnd(more)) return `what never became whole was answered with ${statuses}`;
  return undefined;
}

function judgeMalformed(answers: readonly WireResponse[], mayServe: boolean): string | undefined {
  const [answer, ...more] = answers;
  if (!isJustAnEnd(more.map(({ status }) => status)))
    return `taken for ${answers.length} requests: ${answers.map(({ status }) => status)}`;
  if (answer !== undefined && answer.status < 400 && !mayServe) return `served with ${answer.status}`;
  return undefined;
}

/** What follows an early refusal is at most the end of the connection, said with 400. */
const isJustAnEnd = (more: readonly number[]): boolean => more.every((status) => status === 400);

function judgeApi(
  answers: readonly WireResponse[],
  closed: boolean,
  statuses: readonly number[],
  isHead: boolean,
): string | undefined {
  const [answer, ...more] = answers;
  if (answer === undefined) return closed ? 'the connection was ended without an answer' : undefined;
  if (more.length > 0) return `answered ${answers.length} times`;
  const { status, headers, body } = answer;
  if (body.length > problemLengthMax && status >= 400) return `a refusal of ${body.length} characters`;
  if (status >= 200 && status < 300)
    return statuses.includes(status) || statuses.length === 0
      ? undefined
      : `${status} is not in the document`;
  if (status < 400) return `answered ${status}`;
  if (headers.get('content-type') !== 'application/problem+json')
    return isHead
      ? undefined
      : `${status} is no problem+json but ${headers.get('content-type')}: ${body.slice(0, 100)}`;
  return isHead ? undefined : problemFault(status, body);
}

function problemFault(status: number, body: string): string | undefined {
  try {
    const problem: unknown = JSON.parse(body);
    const fields = typeof problem === 'object' && problem !== null ? { ...problem } : {};
    if (!('code' in fields) || typeof fields.code !== 'string')
      return `a problem without code: ${body.slice(0, 200)}`;
    if (!('status' in fields) || fields.status !== status)
      return `a problem of another status: ${body.slice(0, 200)}`;
    return undefined;
  } catch {
    return `a problem that is no JSON: ${body.slice(0, 200)}`;
  }
}

/** 501 and 505 refuse what is no HTTP of ours; 504 answers a deadline that the request itself named. */
function isServerError(answer: WireResponse, { expects, isHead }: FuzzCase): boolean {
  const { status, body } = answer;
  if (status < 500 || isShed(answer)) return false;
  if (status === 501 && (isHead || body.includes('"request.method_unknown"'))) return false;
  if (expects.like === 'malformed' && (status === 501 || status === 505)) return false;
  return !(status === 504 && (isHead || body.includes('"request.deadline_passed"')));
}

/** 503 that says when to come back. */
export const isShed = ({ status, headers }: WireResponse): boolean =>
  status === 503 && headers.has('retry-after');

function leakOf({ status, headers, body }: WireResponse): string | undefined {
  if (headers.has('server') || headers.has('x-powered-by')) return 'names its software in a header';
  if (status < 400) return undefined;
  if (body.includes(marker)) return `repeats what it refused: ${body.slice(0, 200)}`;
  const inside = insides.find((pattern) => pattern.test(body));
  return inside === undefined ? undefined : `${inside} in ${body.slice(0, 300)}`;
}
