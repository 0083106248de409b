-- Sends one PUT for one driver after the other. Argument: a file with one token per line.
-- All requests are created in advance, so that Lua uses as little CPU as possible.

local places = 3
local requests, at = {}, 0

function init(args)
  local n = 0
  local lines = {}
  for token in io.lines(args[1]) do lines[#lines + 1] = token end
  for place = 1, places do
    for i, token in ipairs(lines) do
      local lat = 10.70 + (i % 100) * 0.001 + place * 0.0001
      local lng = 106.60 + math.floor(i / 100) * 0.001 + place * 0.0001
      local body = string.format(
        '{"lat":%.6f,"lng":%.6f,"accuracyMetres":8.5,"headingDegrees":%d,"speedMetresPerSecond":7.25}',
        lat, lng, i % 360)
      requests[#requests + 1] = wrk.format('PUT', '/v1/drivers/me/location', {
        ['Host'] = 'localhost',
        ['authorization'] = 'Bearer ' .. token,
        ['content-type'] = 'application/json',
      }, body)
    end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"p50Ms":%.3f,"p95Ms":%.3f,"p99Ms":%.3f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50) / 1000, latency:percentile(95) / 1000,
    latency:percentile(99) / 1000, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
