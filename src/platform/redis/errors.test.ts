import { expect, test } from 'bun:test';
import { classifyRedisError, type RedisErrorKind } from './errors.ts';

test.each<[RedisErrorKind, string]>([
  ['wrong_server', "READONLY You can't write against a read only replica."],
  ['wrong_server', "READONLY You can't write against a read only replica. script: 1b2c, on @user_script:2."],
  [
    'wrong_server',
    "ERR Error running script (call to f_1b2c): @user_script:2: @user_script: 2: -READONLY You can't write against a read only replica.",
  ],
  ['wrong_server', "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."],
  ['wrong_server', 'LOADING Redis is loading the dataset in memory'],
  ['wrong_server', 'UNBLOCKED force unblock from blocking operation, instance state changed'],
  ['wrong_server', 'NOAUTH Authentication required.'],
  ['not_now', "OOM command not allowed when used memory > 'maxmemory'."],
  [
    'not_now',
    "ERR Error running script (call to f_1b2c): @user_script:2: @user_script: 2: -OOM command not allowed when used memory > 'maxmemory'.",
  ],
  ['not_now', 'MISCONF Redis is configured to save RDB snapshots, but it is unable to persist on disk.'],
  ['not_now', 'NOREPLICAS Not enough good replicas to write.'],
  ['not_now', 'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'],
  ['not_now', 'CLUSTERDOWN The cluster is down'],
  ['not_now', 'TRYAGAIN Multiple keys request during rehashing of slot'],
  ['not_now', 'ERR max number of clients reached'],
  ['bug', 'WRONGTYPE Operation against a key holding the wrong kind of value'],
  ['bug', 'ERR syntax error'],
  ['bug', "ERR unknown command 'GTE', with args beginning with: 'x'"],
  ['bug', 'ERR Error running script (call to f_1b2c): @user_script:2: attempt to index a nil value'],
  ['bug', 'BUSYGROUP Consumer Group name already exists'],
  ['bug', 'EXECABORT Transaction discarded because of previous errors.'],
  ['bug', ''],
])('%s: %s', (kind, message) => {
  expect(classifyRedisError(message)).toBe(kind);
});
