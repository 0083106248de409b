import { type ProductTable, productsOf } from '@contracts/drivers.ts';
import { positionBytes, recordCode, updateBytes } from './encoding.ts';

/**
 * The Lua scripts of the position index. Each script works on one shard, takes the current time as an argument
 * (so that one clock decides everything), and is idempotent.
 *
 * A driver is one encoded value in one hash, plus an entry in the sorted set of their product while they are
 * available. Most positions only read the old value and write the new one. This costs about 3 µs of Redis time
 * per position in batches of 500, including those that move an entry. A hash for each field and a sorted set
 * of last contacts took 9 µs; a GEOADD in a pipeline of the same width takes 3.3 µs (two-core machine).
 *
 * Bytes of the value, counted from 1:
 *  1  recordedAtMs, or 0 without a position    9  lat    17  lng    25  score of the cell in a sorted set
 * 33  availability: a(vailable), b(usy), o(ffline), ? (unknown)     34  product: the product's indexLetter, or -
 * 35  when that was confirmed, ms    43  version of the driver's row
 * 51  unused: data of an earlier release is carried along unread, so that both releases can run at once
 * 95  a position that was rejected as too fast, like the first 32 bytes, until a position is stored
 */
const layout = `
local unp, pck, sub, byte = struct.unpack, struct.pack, string.sub, string.byte
local unknownDriver = pck('>ddddccddd', 0, 0, 0, 0, '?', '-', 0, 0, 0)`;

// When a deployment changes its prefix or its number of shards, the old keys expire by themselves.
const keyTtl = `
local function keep(...)
  for _, key in ipairs({...}) do redis.call('PEXPIRE', key, 3600000) end
end`;

/** A Lua table from the letter of each product, as a byte, to its sorted set; the sets start at `KEYS[first]`. */
const geoKeys = (products: ProductTable, first: number): string => {
  const entries = productsOf(products).map(
    (product, index) => `[${products[product].indexLetter.charCodeAt(0)}] = KEYS[${first + index}]`,
  );
  return `{ ${entries.join(', ')} }`;
};
/** Stands for `geoKeys` in the scripts. */
const geoKeysMark = 'GEO_KEYS';

/** Computes the same as `distanceMetres`. */
const distance = `
local sin, cos, asin, sqrt, rad = math.sin, math.cos, math.asin, math.sqrt, math.pi / 180
local function metresBetween(aLat, aLng, bLat, bLng)
  local halfLat, halfLng = sin((bLat - aLat) * rad / 2), sin((bLng - aLng) * rad / 2)
  local h = halfLat * halfLat + cos(aLat * rad) * cos(bLat * rad) * halfLng * halfLng
  return 2 * 6371008.8 * asin(math.min(1, sqrt(h)))
end`;

// A position that contradicts the stored one is kept as pending. When the next position agrees with it, the two
// outweigh the stored one. The pending position is dropped when a position is stored.
const pending = `
local function withoutPending(value, from)
  if #value > 94 then return sub(value, from, 94) end
  return sub(value, from)
end
local function withPending(value, update)
  return sub(value, 1, 94) .. string.rep(' ', 94 - #value) .. update
end`;

const upper = (code: string) => code.toUpperCase();

/**
 * KEYS drivers, sorted set of each product
 * ARGV nowMs, availabilityLeaseMs, offlineLeaseMs, freshnessMs, speedMetresPerSecondMax, jumpMetresMax, updates
 * Returns a letter for each update, and the previous recordedAtMs of each.
 */
const recordLua = `
${layout}
${keyTtl}
${distance}
${pending}
local now, lease, offlineLease, freshness = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local speed, jump, updates = tonumber(ARGV[5]) / 1000, tonumber(ARGV[6]), ARGV[7]
local geoKey, geo = ${geoKeysMark}, {}
local ids, count = {}, #updates / ${updateBytes}
for i = 1, count do
  local at = (i - 1) * ${updateBytes}
  ids[i] = sub(updates, at + 1, at + 36)
end
local before = redis.call('HMGET', KEYS[1], unpack(ids))
local codes, previous, written, n = {}, {}, {}, 0

local function isTooFar(fromMs, fromLat, fromLng, toMs, toLat, toLng)
  return metresBetween(fromLat, fromLng, toLat, toLng) > jump + speed * (toMs - fromMs)
end

local function confirmsPending(old, storedMs, recorded, lat, lng)
  if #old <= 94 then return false end
  local pendingMs, pendingLat, pendingLng = unp('>ddd', old, 95)
  return pendingMs >= storedMs and recorded > pendingMs
    and not isTooFar(pendingMs, pendingLat, pendingLng, recorded, lat, lng)
end

for i = 1, count do
  local old, at = before[i], (i - 1) * ${updateBytes} + 37
  local code, previously = '${recordCode.unknown}', unknownDriver
  local availability = old and byte(old, 33)
  if availability == 97 or availability == 98 then
    local oldRecorded, oldLat, oldLng, oldScore, checked = unp('>ddddxxd', old)
    local recorded, lat, lng, score = unp('>dddd', updates, at)
    local recheck = now - checked > lease
    previously = old
    if recorded < oldRecorded then
      code = recheck and '${upper(recordCode.outdated)}' or '${recordCode.outdated}'
    elseif score ~= oldScore and recorded - oldRecorded <= freshness
      and isTooFar(oldRecorded, oldLat, oldLng, recorded, lat, lng)
      and not confirmsPending(old, oldRecorded, recorded, lat, lng) then
      code = recheck and '${upper(recordCode.tooFast)}' or '${recordCode.tooFast}'
      written[n + 1] = ids[i]
      written[n + 2] = withPending(old, sub(updates, at, at + 31))
      n = n + 2
    else
      if availability == 98 then
        code = recheck and '${upper(recordCode.storedBusy)}' or '${recordCode.storedBusy}'
      else
        code = recheck and '${upper(recordCode.stored)}' or '${recordCode.stored}'
        local key = geoKey[byte(old, 34)]
        if key and score ~= oldScore then
          local moved = geo[key]
          if not moved then moved = {} geo[key] = moved end
          moved[#moved + 1] = score
          moved[#moved + 1] = ids[i]
        end
      end
      written[n + 1] = ids[i]
      written[n + 2] = sub(updates, at, at + 31) .. withoutPending(old, 33)
      n = n + 2
    end
  elseif availability == 111 and now - unp('>d', old, 35) <= offlineLease then
    code = '${recordCode.offline}'
  end
  codes[i] = code
  previous[i] = sub(previously, 1, 8)
end
if n > 0 then
  redis.call('HSET', KEYS[1], unpack(written))
  for key, moved in pairs(geo) do redis.call('ZADD', key, unpack(moved)) end
  keep(unpack(KEYS))
end
return { table.concat(codes), table.concat(previous) }`;

/**
 * KEYS drivers, sorted set of each product
 * ARGV nowMs, then for each driver: id, version, availability and product as letters
 */
const availabilitiesLua = `
${layout}
${keyTtl}
${pending}
local geoKey = ${geoKeysMark}
for at = 2, #ARGV, 4 do
  local id, version, letters = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2] .. ARGV[at + 3]
  local old = redis.call('HGET', KEYS[1], id) or unknownDriver
  if byte(old, 33) == 63 or unp('>d', old, 43) <= version then
    local position, rest = sub(old, 1, 32), sub(old, 51)
    -- The position of a driver who is not at work is not kept.
    if byte(letters) == 111 then position, rest = sub(unknownDriver, 1, 32), withoutPending(old, 51) end
    redis.call('HSET', KEYS[1], id, position .. letters .. pck('>dd', ARGV[1], version) .. rest)
    local hasPosition = unp('>d', position) > 0
    local oldKey = byte(old, 33) == 97 and geoKey[byte(old, 34)]
    local newKey = byte(letters) == 97 and hasPosition and geoKey[byte(letters, 2)]
    if oldKey and oldKey ~= newKey then redis.call('ZREM', oldKey, id) end
    if newKey then redis.call('ZADD', newKey, (unp('>d', position, 25)), id) end
  end
end
keep(unpack(KEYS))
return 0`;

/**
 * Reads the drivers in some ranges of cells. The caller computes the distances: Redis is single-threaded, and
 * one distance computed in Lua costs it more than reading a driver.
 *
 * KEYS drivers, sorted sets
 * ARGV lowest score, highest score and crowd (or -1) of each range
 * Returns for each sorted set: the id and first 24 bytes of each driver, and the indexes of the crowded ranges,
 * whose drivers are not read.
 */
const cellsLua = `
local function read(key)
  local ids, crowded, drivers = {}, {}, {}
  for at = 1, #ARGV, 3 do
    local found = redis.call('ZRANGEBYSCORE', key, ARGV[at], ARGV[at + 1], 'LIMIT', 0, ARGV[at + 2])
    if #found == tonumber(ARGV[at + 2]) then
      crowded[#crowded + 1] = (at - 1) / 3
    else
      local size = #ids
      for i = 1, #found do ids[size + i] = found[i] end
    end
  end
  for from = 1, #ids, 1000 do
    local values = redis.call('HMGET', KEYS[1], unpack(ids, from, math.min(from + 999, #ids)))
    for i = 1, #values do
      if values[i] then drivers[#drivers + 1] = ids[from + i - 1] .. string.sub(values[i], 1, ${positionBytes}) end
    end
  end
  return table.concat(drivers), crowded
end

local reply = {}
for i = 2, #KEYS do reply[2 * i - 3], reply[2 * i - 2] = read(KEYS[i]) end
return reply`;

/**
 * One step of a scan through all drivers. Each caller takes the next step of the same scan. A new scan starts
 * `everyMs` after the start of the one before.
 *
 * KEYS drivers, sweep, sorted set of each product
 * ARGV nowMs, silentBeforeMs, everyMs, drivers per step
 * Returns how many drivers were removed, and 1 when the scan continues.
 */
const sweepLua = `
${layout}
${keyTtl}
local now, silentBefore = tonumber(ARGV[1]), tonumber(ARGV[2])
local state = redis.call('HMGET', KEYS[2], 'cursor', 'began')
local cursor, began = state[1] or '0', state[2] or ARGV[1]
if cursor == '0' then
  if state[2] and now - tonumber(began) < tonumber(ARGV[3]) then return { 0, 0 } end
  began = ARGV[1]
end
local scanned = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', ARGV[4])
local removed, geo, geoKey = {}, {}, ${geoKeysMark}
for at = 1, #scanned[2], 2 do
  local id, value = scanned[2][at], scanned[2][at + 1]
  local recorded, checked = (unp('>d', value)), (unp('>d', value, 35))
  if math.max(recorded, checked) < silentBefore then
    removed[#removed + 1] = id
    local key = byte(value, 33) == 97 and geoKey[byte(value, 34)]
    if key then
      geo[key] = geo[key] or {}
      table.insert(geo[key], id)
    end
  end
end
if #removed > 0 then
  for from = 1, #removed, 1000 do
    redis.call('HDEL', KEYS[1], unpack(removed, from, math.min(from + 999, #removed)))
  end
  for key, ids in pairs(geo) do
    for from = 1, #ids, 1000 do redis.call('ZREM', key, unpack(ids, from, math.min(from + 999, #ids))) end
  end
end
redis.call('HSET', KEYS[2], 'cursor', scanned[1], 'began', began)
keep(KEYS[2])
return { #removed, scanned[1] ~= '0' and 1 or 0 }`;

/** The scripts for a table of products. */
export const createScripts = (products: ProductTable) => ({
  record: recordLua.replace(geoKeysMark, geoKeys(products, 2)),
  setAvailabilities: availabilitiesLua.replace(geoKeysMark, geoKeys(products, 2)),
  readCells: cellsLua,
  sweep: sweepLua.replace(geoKeysMark, geoKeys(products, 3)),
});
