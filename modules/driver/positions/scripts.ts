/**
 * The Lua of the position index. Each script works on one shard, takes the time as an argument (one
 * clock rules everything), and may be sent twice: the second time changes nothing more.
 *
 * Many drivers go through one multi-member command each way: one GEOADD for 500 members takes in
 * several times what 500 commands do (300k against 42k members a second on a two-core machine).
 */

// A deployment that changes its prefix or its number of shards leaves keys behind: they end by themselves.
const keyTtl = `
local function keep(...)
  for _, key in ipairs({...}) do redis.call('PEXPIRE', key, 3600000) end
end`;

const readStanding = `
local function readStanding(text)
  if not text then return nil end
  local version, checked, availability, product = string.match(text, '^(%d+):(%d+):(%l+):([%l_]*)$')
  return { version = tonumber(version), checked = tonumber(checked), availability = availability, product = product }
end`;

const readHold = `
local function readHold(text, now)
  if not text then return nil end
  local til, trip = string.match(text, '^(%d+):(.+)$')
  if tonumber(til) <= now then return nil end
  return { til = tonumber(til), trip = trip }
end`;

/** Codes in the replies of `recordScript`. */
export const recordCode = {
  stored: 0,
  storedRecheck: 1,
  outdated: 2,
  outdatedRecheck: 3,
  offline: 4,
  unknown: 5,
};

/**
 * KEYS standings, fixes, heard, geo of bike, car, car_xl
 * ARGV nowMs, standingLeaseMs, offlineLeaseMs, then for each driver: id, lat, lng, recordedAtMs
 * → for each driver: code, previous recordedAtMs or -1
 */
export const recordScript = `
${keyTtl}
${readStanding}
local now, lease, offlineLease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local geoKey = { bike = KEYS[4], car = KEYS[5], car_xl = KEYS[6] }
local ids = {}
for at = 4, #ARGV, 4 do ids[#ids + 1] = ARGV[at] end
local standings = redis.call('HMGET', KEYS[1], unpack(ids))
local before = redis.call('HMGET', KEYS[2], unpack(ids))
local reply, fixes, heard, geo = {}, {}, {}, { bike = {}, car = {}, car_xl = {} }
for i, id in ipairs(ids) do
  local lat, lng, recorded = ARGV[4 * i + 1], ARGV[4 * i + 2], ARGV[4 * i + 3]
  local standing = readStanding(standings[i])
  local code, previous = ${recordCode.unknown}, -1
  if standing and standing.availability == 'offline' then
    if now - standing.checked <= offlineLease then code = ${recordCode.offline} end
  elseif standing then
    local recheck = now - standing.checked > lease
    if before[i] then previous = tonumber(string.match(before[i], '^%d+')) end
    if tonumber(recorded) < previous then
      code = recheck and ${recordCode.outdatedRecheck} or ${recordCode.outdated}
    else
      code = recheck and ${recordCode.storedRecheck} or ${recordCode.stored}
      fixes[#fixes + 1] = id
      fixes[#fixes + 1] = recorded .. ':' .. lat .. ':' .. lng
      heard[#heard + 1] = ARGV[1]
      heard[#heard + 1] = id
      local shown = standing.availability == 'available' and geo[standing.product]
      if shown then
        shown[#shown + 1] = lng
        shown[#shown + 1] = lat
        shown[#shown + 1] = id
      end
    end
  end
  reply[#reply + 1] = code
  reply[#reply + 1] = previous
end
if #fixes > 0 then
  redis.call('HSET', KEYS[2], unpack(fixes))
  redis.call('ZADD', KEYS[3], unpack(heard))
  for product, shown in pairs(geo) do
    if #shown > 0 then redis.call('GEOADD', geoKey[product], unpack(shown)) end
  end
  keep(unpack(KEYS))
end
return reply`;

/**
 * KEYS standings, fixes, heard, geo of bike, car, car_xl
 * ARGV nowMs, then for each driver: id, version, availability, product or ''
 */
export const standingsScript = `
${keyTtl}
${readStanding}
local geoKey = { bike = KEYS[4], car = KEYS[5], car_xl = KEYS[6] }
for at = 2, #ARGV, 4 do
  local id, version, availability, product = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local before = readStanding(redis.call('HGET', KEYS[1], id))
  if not before or before.version <= tonumber(version) then
    redis.call('HSET', KEYS[1], id, version .. ':' .. ARGV[1] .. ':' .. availability .. ':' .. product)
    redis.call('ZADD', KEYS[3], ARGV[1], id)
    local fix = redis.call('HGET', KEYS[2], id)
    for each, key in pairs(geoKey) do
      if fix and availability == 'available' and each == product then
        local lat, lng = string.match(fix, '^%d+:([^:]+):([^:]+)$')
        redis.call('GEOADD', key, lng, lat, id)
      else
        redis.call('ZREM', key, id)
      end
    end
    -- Where someone was who is not at work is nobody's business.
    if availability == 'offline' then redis.call('HDEL', KEYS[2], id) end
  end
end
keep(unpack(KEYS))
return 0`;

/**
 * Grows rings until \`limit\` free drivers are found; a plain search with the largest radius would pay for
 * every driver of a dense city. Each ring is read nearest first, as far as needed. Redis knows places to
 * half a metre: what it finds within 2 m of the last place comes along, and the caller, who knows exact
 * distances, cuts.
 *
 * KEYS geo, fixes, holds
 * ARGV lng, lat, limit, radiusMetresMax, nowMs, freshAfterMs, then ids to leave out
 * → for each driver found: id, fix
 */
export const nearestScript = `
${readHold}
local lng, lat, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now, freshAfter = tonumber(ARGV[5]), tonumber(ARGV[6])
-- The Earth of Redis is 0.03% larger than ours.
local radiusMax, slack = tonumber(ARGV[4]) * 1.0003 + 2, 2
local excluded = {}
for at = 7, #ARGV do excluded[ARGV[at]] = true end

local function freeAmong(hits)
  local free = {}
  for from = 1, #hits, 1000 do
    local ids = {}
    for i = from, math.min(from + 999, #hits) do ids[#ids + 1] = hits[i][1] end
    local fixes = redis.call('HMGET', KEYS[2], unpack(ids))
    local holds = redis.call('HMGET', KEYS[3], unpack(ids))
    for i, id in ipairs(ids) do
      local fix = fixes[i]
      if fix and not excluded[id] and not readHold(holds[i], now)
        and tonumber(string.match(fix, '^%d+')) >= freshAfter then
        free[#free + 1] = { id = id, fix = fix, metres = tonumber(hits[from + i - 1][2]) }
      end
    end
  end
  return free
end

local function within(radius)
  local count = limit + #ARGV - 6 + 16
  while true do
    local hits = redis.call('GEOSEARCH', KEYS[1], 'FROMLONLAT', lng, lat, 'BYRADIUS', radius + slack, 'm',
      'ASC', 'COUNT', count, 'WITHDIST')
    local free = freeAmong(hits)
    local all = #hits < count
    local enough = free[limit] and tonumber(hits[#hits][2]) > free[limit].metres + slack
    if all or enough then return free end
    count = count * 4
  end
end

local radius = math.min(200, radiusMax)
local free = within(radius)
while radius < radiusMax and not (free[limit] and free[limit].metres <= radius) do
  radius = math.min(radius * 2.5, radiusMax)
  free = within(radius)
end
local reply = {}
for i, one in ipairs(free) do
  if i > limit and one.metres > free[limit].metres + slack then break end
  reply[#reply + 1] = one.id
  reply[#reply + 1] = one.fix
end
return reply`;

/**
 * KEYS holds, standings, heard
 * ARGV driverId, tripId, nowMs, untilMs
 * → 1 when held
 */
export const holdScript = `
${keyTtl}
${readStanding}
${readHold}
local now, til = tonumber(ARGV[3]), tonumber(ARGV[4])
local holder = readHold(redis.call('HGET', KEYS[1], ARGV[1]), now)
if holder then
  if holder.trip ~= ARGV[2] then return 0 end
  if holder.til >= til then return 1 end
else
  local standing = readStanding(redis.call('HGET', KEYS[2], ARGV[1]))
  if standing and standing.availability ~= 'available' then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4] .. ':' .. ARGV[2])
redis.call('ZADD', KEYS[3], 'NX', ARGV[3], ARGV[1])
keep(unpack(KEYS))
return 1`;

/**
 * KEYS holds
 * ARGV driverId, tripId
 */
export const releaseScript = `
local text = redis.call('HGET', KEYS[1], ARGV[1])
if text and string.match(text, '^%d+:(.+)$') == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0`;

/**
 * KEYS standings, fixes, heard, holds, geo of bike, car, car_xl
 * ARGV nowMs, heardBeforeMs, at most so many
 * → how many were forgotten
 */
export const sweepScript = `
${readHold}
local now = tonumber(ARGV[1])
local silent = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
if #silent == 0 then return 0 end
local holds = redis.call('HMGET', KEYS[4], unpack(silent))
local gone = {}
for i, id in ipairs(silent) do
  local hold = readHold(holds[i], now)
  if hold then
    redis.call('ZADD', KEYS[3], string.format('%.0f', hold.til), id)
  else
    gone[#gone + 1] = id
  end
end
if #gone > 0 then
  redis.call('HDEL', KEYS[1], unpack(gone))
  redis.call('HDEL', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[4], unpack(gone))
  for at = 3, #KEYS do
    if at ~= 4 then redis.call('ZREM', KEYS[at], unpack(gone)) end
  end
end
return #gone`;
