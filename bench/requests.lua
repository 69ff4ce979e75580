-- The requests that wrk sends. No two of the table below are alike, as no two clients' are:
-- a cache of heads would gain nothing here that it would not gain in production.
-- Arguments after `--`: what (get, close, upload), path prefix, bytes of the body.
local DIFFERENT = 4096
local wanted = {}

local function hex(digits, seed)
  local text = {}
  for i = 1, digits do
    seed = (seed * 1103515245 + 12345) % 2147483648
    text[i] = string.format("%x", math.floor(seed / 65536) % 16)
  end
  return table.concat(text)
end

function init(arguments)
  local what, prefix, size = arguments[1], arguments[2], tonumber(arguments[3])
  local method = what == "upload" and "POST" or "GET"
  local more = what == "close" and "Connection: close\r\n" or ""
  local body = ""
  if what == "upload" then
    more = string.format("Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", size)
    body = string.rep("0123456789abcdef", size / 16)
    DIFFERENT = 4 -- each holds its body
  end
  for i = 1, DIFFERENT do
    wanted[i] = table.concat({
      method, " ", prefix, string.format("/%06d?page=%d&sort=price", i * 37, i % 19), " HTTP/1.1\r\n",
      "Host: shop.example\r\n",
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n",
      "Accept: application/json\r\n",
      "Accept-Encoding: gzip, deflate, br\r\n",
      "Cookie: session=", hex(32, i), "; theme=dark\r\n",
      "traceparent: 00-", hex(32, i + 7), "-", hex(16, i + 9), "-01\r\n",
      more, "\r\n", body,
    })
  end
end

local next = 0
function request()
  next = next % DIFFERENT + 1
  return wanted[next]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'BENCH {"requests": %d, "seconds": %.6f, "bytes": %.0f, "p50": %.1f, "p99": %.1f, "worst": %.1f, ' ..
    '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
