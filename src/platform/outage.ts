import { classifyRedisError, isRedisErrorReply } from './redis/errors.ts';

/**
 * Whether an error of a client library (PostgreSQL, Redis, AMQP, fetch) means that a dependency is unavailable or
 * overloaded, so that the right answer is "retry later" (503) and not "internal error" (500).
 */
export function isOutage(error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    const code = 'code' in cause ? String(cause.code) : '';
    if (outageCodes.has(code) || code.startsWith('08') || outageNames.has(cause.name)) return true;
    if (outageMessages.test(cause.message)) return true;
    if (isRedisErrorReply(cause) && classifyRedisError(cause.message) !== 'bug') return true;
  }
  return false;
}

const outageCodes = new Set([
  // sockets
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'ConnectionRefused',
  'ConnectionClosed',
  'FailedToOpenSocket',
  // postgres.js
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  // PostgreSQL: cannot connect now, shutdowns, too many connections, statement timeout, disk full, read only
  '57P01',
  '57P02',
  '57P03',
  '53300',
  '57014',
  '53100',
  '25006',
]);

const outageNames = new Set(['TimeoutError', 'MaxRetriesPerRequestError', 'ClusterAllFailedError']);

// ioredis reports these only by their message.
const outageMessages =
  /^(Connection is closed\.|Command timed out|Stream isn't writeable|Too many Cluster redirections|Cluster isn't ready|Cluster is ended)/;
