/**
 * What an error reply of Redis means for the caller:
 *
 *  - `wrong_server`: this server cannot serve now, but a new connection to the same address may reach one that can.
 *    Behind one address (a proxy, a virtual IP, a DNS name), a failover leaves open connections at the server that
 *    was demoted.
 *  - `not_now`: the server rejects commands for a while, until it recovers or an operator fixes it.
 *  - `bug`: the command itself is wrong and will always fail.
 */
export type RedisErrorKind = 'wrong_server' | 'not_now' | 'bug';

const wrongServer = new Set([
  // a replica: demoted, or cut off from its primary
  'READONLY',
  'MASTERDOWN',
  // it loads its data at start, or a copy of the new primary's data after it was demoted
  'LOADING',
  // a blocked command was ended because the server was demoted
  'UNBLOCKED',
  // the password was rejected when the connection was made; by now it may be accepted
  'NOAUTH',
]);

const notNow = new Set([
  // maxmemory reached, with noeviction
  'OOM',
  // a snapshot or the append-only file cannot be written
  'MISCONF',
  // fewer replicas than min-replicas-to-write
  'NOREPLICAS',
  // a script of another client runs for too long
  'BUSY',
  'UNKILLABLE',
  // a cluster that lacks some of its slots, or is moving them
  'CLUSTERDOWN',
  'TRYAGAIN',
  // the account does not have the permission (yet)
  'NOPERM',
  'WRONGPASS',
]);

/** Redis 6 and older wrap errors of commands in scripts: `ERR Error running script (…): @user_script:3: -OOM …`. */
const wrapped = /^ERR Error running script .*?: -?([A-Z]+) /;
const code = /^([A-Z]+)(?: |$)/;

/** Classifies an error reply by its message. */
export function classifyRedisError(message: string): RedisErrorKind {
  const name = (wrapped.exec(message) ?? code.exec(message))?.[1] ?? '';
  if (wrongServer.has(name)) return 'wrong_server';
  if (notNow.has(name) || message.startsWith('ERR max number of clients')) return 'not_now';
  return 'bug';
}

/** Whether an error of ioredis is a reply of the server, and not an error of the connection. */
export const isRedisErrorReply = (error: Error): boolean => error.name === 'ReplyError';
