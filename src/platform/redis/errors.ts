/**
 * What an error reply of Redis means for the caller:
 *
 *  - `wrong_server`: this server can't serve now, and another connection to the same address may reach one
 *    that can. Behind one address (a proxy, a virtual IP, a DNS name) a failover leaves open connections at
 *    the server that was demoted.
 *  - `not_now`: the server refuses for a while and goes on by itself, or once an operator has mended it.
 *  - `bug`: the command itself is wrong, and stays wrong.
 */
export type RedisErrorKind = 'wrong_server' | 'not_now' | 'bug';

const wrongServer = new Set([
  // a replica: demoted, or cut off from its primary
  'READONLY',
  'MASTERDOWN',
  // reads its data at start, or a copy of another primary's after it was demoted
  'LOADING',
  // a blocked command that ended since the server was demoted
  'UNBLOCKED',
  // the password was not accepted when the connection was made; by now it may be
  'NOAUTH',
]);

const notNow = new Set([
  // maxmemory reached, with noeviction
  'OOM',
  // a snapshot or the append-only file can't be written
  'MISCONF',
  // fewer replicas than min-replicas-to-write
  'NOREPLICAS',
  // a script of someone else runs for too long
  'BUSY',
  'UNKILLABLE',
  // a cluster without some of its slots, or one that moves them
  'CLUSTERDOWN',
  'TRYAGAIN',
  // the account may not do this (yet)
  'NOPERM',
  'WRONGPASS',
]);

/** Redis 6 and older wrap the error of a command in a script: `ERR Error running script (…): @user_script:3: -OOM …`. */
const wrapped = /^ERR Error running script .*?: -?([A-Z]+) /;
const code = /^([A-Z]+)(?: |$)/;

/** Of a reply's text. */
export function classifyRedisError(message: string): RedisErrorKind {
  const name = (wrapped.exec(message) ?? code.exec(message))?.[1] ?? '';
  if (wrongServer.has(name)) return 'wrong_server';
  if (notNow.has(name) || message.startsWith('ERR max number of clients')) return 'not_now';
  return 'bug';
}

/** Whether an error of ioredis is a reply of the server, and not of the connection. */
export const isRedisErrorReply = (error: Error): boolean => error.name === 'ReplyError';
