import type { PersonId } from '@contracts/ids.ts';
import { createRedisProbe, createScript, type Redis } from '@platform/redis/connection.ts';
import type { NotificationKeys } from '../keys.ts';
import { type InboxBounds, inboxStateTtlMs, type PersonInbox } from './inbox.ts';

export interface RedisInboxDeps extends InboxBounds {
  redis: Redis;
  keys: NotificationKeys;
}

// KEYS: state, entries, event ids and, for the append, presence. %.0f prints a seq in full, where Lua would print 1.76e+12.
const open = `
  local function open(now, ttl)
    redis.call('HSETNX', KEYS[1], 'base', now)
    redis.call('HSETNX', KEYS[1], 'last', now)
    redis.call('PEXPIRE', KEYS[1], ttl)
  end`;

// ARGV: event id, body, now, state ttl, entries ttl, length. Returns the seq, then the instances that hold the person,
// which saves a round trip. Safe to repeat: the seq of a known event is returned.
const appendScript = `${open}
  local function answer(seq)
    local answer = redis.call('ZRANGEBYSCORE', KEYS[4], ARGV[3], '+inf')
    table.insert(answer, 1, seq)
    return answer
  end
  local known = redis.call('ZSCORE', KEYS[3], ARGV[1])
  if known then return answer(known) end
  open(ARGV[3], ARGV[4])
  local seq = redis.call('HINCRBY', KEYS[1], 'last', 1)
  local text = string.format('%.0f', seq)
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[6], text .. '-0', 'b', ARGV[2])
  redis.call('ZADD', KEYS[3], text, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', seq - tonumber(ARGV[6])))
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
  return answer(text)`;

// ARGV: after, limit, now, state ttl. Returns the last seq, 1 if complete, then seq and body of each entry.
const readScript = `${open}
  open(ARGV[3], ARGV[4])
  local state = redis.call('HMGET', KEYS[1], 'base', 'last')
  local base, last = tonumber(state[1]), tonumber(state[2])
  local after = tonumber(ARGV[1])
  if after == 0 then after = base end
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  local first_seq = first and tonumber(string.match(first[1], '%d+')) or last + 1
  if after < first_seq - 1 or after > last then return {state[2], 0} end
  local answer = {state[2], 1}
  local start = '(' .. string.format('%.0f', after) .. '-0'
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', ARGV[2])) do
    answer[#answer + 1] = string.match(entry[1], '%d+')
    answer[#answer + 1] = entry[2][2]
  end
  return answer`;

// ARGV: now, state ttl.
const lastSeqScript = `${open}
  open(ARGV[1], ARGV[2])
  return redis.call('HGET', KEYS[1], 'last')`;

/** Inboxes shared by all instances: a stream, a counter and an index of event ids for each person. */
export function createRedisInbox({ redis, keys, lengthMax, entriesTtlMs }: RedisInboxDeps): PersonInbox {
  const append = createScript(redis, appendScript);
  const read = createScript(redis, readScript);
  const lastSeq = createScript(redis, lastSeqScript);
  const stateMs = Math.max(inboxStateTtlMs, entriesTtlMs);

  return {
    async append(personId, { eventId, body }, nowMs) {
      const [seq, ...instanceIds] = toStrings(
        await append(
          [...personKeys(personId), keys.presence(personId)],
          [eventId, body, nowMs, stateMs, entriesTtlMs, lengthMax],
        ),
      );
      return { seq: Number(seq), instanceIds };
    },

    async read(personId, afterSeq, limit, nowMs) {
      const [last, complete, ...pairs] = toStrings(
        await read(personKeys(personId), [afterSeq, limit, nowMs, stateMs]),
      );
      const entries = [];
      for (let i = 0; i + 1 < pairs.length; i += 2)
        entries.push({ seq: Number(pairs[i]), body: pairs[i + 1] ?? '' });
      return { entries, isComplete: complete === '1', lastSeq: Number(last) };
    },

    async lastSeqs(personIds, nowMs) {
      // One pipeline; the connection returns the results in order.
      const seqs = await Promise.all(
        personIds.map((personId) => lastSeq([keys.inboxState(personId)], [nowMs, stateMs])),
      );
      return seqs.map(Number);
    },

    ping: createRedisProbe(redis, keys.probe),
  };

  function personKeys(personId: PersonId): string[] {
    return [keys.inboxState(personId), keys.inboxEntries(personId), keys.inboxEventIds(personId)];
  }
}

const toStrings = (answer: unknown): string[] => (Array.isArray(answer) ? answer.map(String) : []);
