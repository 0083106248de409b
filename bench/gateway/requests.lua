-- GETs or POSTs, of one person after the other; arguments: the method, a file of tokens, one a line.
-- All requests are made beforehand: Lua must cost the machine as little as it can.

local requests, at = {}, 0

function init(args)
  for token in io.lines(args[2]) do
    local headers = { ['Host'] = 'localhost', ['authorization'] = 'Bearer ' .. token }
    if args[1] == 'GET' then
      requests[#requests + 1] = wrk.format('GET', '/v1/trips/01a20438-5328-7000-be00-93adcfa25034', headers)
    else
      headers['content-type'] = 'application/json'
      requests[#requests + 1] = wrk.format('POST', '/v1/trips', headers,
        '{"quoteId":"01a20438-5328-7000-be00-93adcfa25034","note":"at the gate"}')
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
