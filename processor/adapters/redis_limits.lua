-- Counts what requests take of limits, for all replicas: the Lua twin of processor/policy/limit_counts.py.
--
-- ARGV[1]: acquire, settle or peek. ARGV[2]: the lease. ARGV[3]: seconds for which it counts as under way.
-- Then for each key, to acquire: period, amount, cost; to settle: period, slot, difference; to peek: period, amount, 0.
-- Periods: minute, day, month, now. The clock is this server's, one for all.
--
-- acquire and peek answer: 1 if all of it was taken, the place of the limit that stands in the way or 0, milliseconds
-- until there is room (-1: nobody can say, or never), then for each key what remains, milliseconds until all of it is
-- free, and the slot.

local WINDOW, DAY = 60, 86400
local time = redis.call('TIME')
local second, now = tonumber(time[1]), tonumber(time[1]) + tonumber(time[2]) / 1e6

local function int(value) return string.format('%.0f', value) end

-- Howard Hinnant's civil calendar arithmetic, on days since 1970-01-01.
local function month_of(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local mp = math.floor((5 * (doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))) + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return (yoe + era * 400 + (month <= 2 and 1 or 0)) * 12 + month - 1
end

local function month_begins(month)
  local year, index = math.floor(month / 12), month % 12 + 1
  if index <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local yoe = year - era * 400
  local doy = math.floor((153 * (index + (index > 2 and -3 or 9)) + 2) / 5)
  return (era * 146097 + yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy - 719468) * DAY
end

-- A minute: a hash of its total `t`, its oldest bucket `o`, its youngest `y`, and a bucket for each second.
-- A clock that is set back by up to a minute (another server took over) changes nothing; by more, the hash begins anew.
local function minute(key)
  local known = redis.call('HMGET', key, 't', 'o', 'y')
  local total, oldest, youngest = tonumber(known[1] or 0), tonumber(known[2] or second), tonumber(known[3] or 0)
  local begins = second - WINDOW
  local function counts(last)
    local buckets = {}
    for bucket = oldest, last do buckets[#buckets + 1] = int(bucket) end
    return buckets, #buckets > 0 and redis.call('HMGET', key, unpack(buckets)) or {}
  end
  if known[1] and (youngest < begins or youngest > second + WINDOW) then
    redis.call('DEL', key)
    total, oldest, youngest = 0, second, 0
  elseif oldest < begins then
    local buckets, found = counts(begins - 1)
    for _, count in ipairs(found) do total = total - tonumber(count or 0) end
    redis.call('HDEL', key, unpack(buckets))
    oldest = begins
    redis.call('HSET', key, 't', int(total), 'o', oldest)
  end
  return {
    total = total,
    wait = function(missing)
      local _, found = counts(youngest)
      for place, count in ipairs(found) do
        missing = missing - tonumber(count or 0)
        if missing <= 0 then return oldest + place + WINDOW - now end
      end
      return -1
    end,
    reset = function() return total > 0 and youngest + WINDOW + 1 - now or 0 end,
    take = function(cost)
      youngest, total = math.max(second, youngest), total + cost
      redis.call('HINCRBY', key, youngest, int(cost))
      redis.call('HSET', key, 't', int(total), 'o', oldest, 'y', youngest)
      redis.call('EXPIRE', key, WINDOW + 2 + youngest - second)
      return youngest
    end,
    settle = function(slot, difference)
      local count = redis.call('HGET', key, slot)
      if not count then return end
      difference = math.max(difference, -tonumber(count))
      redis.call('HINCRBY', key, slot, int(difference))
      redis.call('HSET', key, 't', int(total + difference))
    end,
  }
end

-- A day or a month: a hash of its number `s` and its count `t`.
local function calendar(key, period)
  local day = math.floor(second / DAY)
  local slot = period == 'day' and day or month_of(day)
  local function begins(number) return period == 'day' and number * DAY or month_begins(number) end
  local known = redis.call('HMGET', key, 's', 't')
  local current, total = tonumber(known[1] or slot), tonumber(known[2] or 0)
  -- A clock that was set back a little must not end the period once more.
  if current == slot + 1 and begins(current) - now <= WINDOW then slot = current end
  local ends = begins(slot + 1)
  local function keep(count)
    redis.call('HSET', key, 's', slot, 't', int(count))
    redis.call('EXPIREAT', key, ends + DAY)
  end
  -- Nor may one whose end was seen, if only by who was refused, begin again.
  if current ~= slot then
    total = 0
    keep(total)
  end
  local function reset() return ends - now end
  return {
    total = total,
    wait = reset,
    reset = reset,
    take = function(cost)
      keep(total + cost)
      return slot
    end,
    settle = function(number, difference)
      if known[1] and number == slot then keep(math.max(0, total + difference)) end
    end,
  }
end

-- Requests under way: a sorted set of leases by when they are given up.
local function leases(key, lease, seconds)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return {
    total = redis.call('ZCARD', key),
    wait = function() return -1 end,
    reset = function() return 0 end,
    take = function()
      redis.call('ZADD', key, now + seconds, lease)
      redis.call('EXPIRE', key, math.max(redis.call('TTL', key), math.ceil(seconds) + 1))
      return 0
    end,
    settle = function() redis.call('ZREM', key, lease) end,
  }
end

local action, lease, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3])
local counters = {}
for number, key in ipairs(KEYS) do
  local period = ARGV[3 * number + 1]
  counters[number] = period == 'minute' and minute(key)
    or period == 'now' and leases(key, lease, seconds)
    or calendar(key, period)
end

if action == 'settle' then
  for number, counter in ipairs(counters) do
    counter.settle(tonumber(ARGV[3 * number + 2]), tonumber(ARGV[3 * number + 3]))
  end
  return 1
end

local refused, longest = 0, 0
for number, counter in ipairs(counters) do
  local amount, cost = tonumber(ARGV[3 * number + 2]), tonumber(ARGV[3 * number + 3])
  local missing = counter.total + cost - amount
  if action == 'acquire' and missing > 0 then
    local wait = cost > amount and -1 or counter.wait(missing)
    if refused == 0 or (longest >= 0 and (wait < 0 or wait > longest)) then refused, longest = number, wait end
  end
end

local taken = action == 'acquire' and refused == 0
local answer = {taken and 1 or 0, refused, longest < 0 and -1 or math.ceil(longest * 1000)}
for number, counter in ipairs(counters) do
  local amount, cost = tonumber(ARGV[3 * number + 2]), tonumber(ARGV[3 * number + 3])
  local slot = taken and counter.take(cost) or 0
  local left = amount - counter.total - (taken and cost or 0)
  answer[#answer + 1] = int(math.max(0, left))
  answer[#answer + 1] = math.ceil(counter.reset() * 1000)
  answer[#answer + 1] = slot
end
return answer
