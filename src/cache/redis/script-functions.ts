// The functions that the scripts share.

/*
 * Keys of a namespace `{ns}:`
 *   clock     `<stamp>|<generation>`: the stamp of the last change, microseconds, never going back; a generation ends when the
 *             namespace is cleared or the clock is lost
 *   name      the name of the application that uses the namespace
 *   t:<tag>   the stamp of the tag's last invalidation, and a `~<since>` or `~<since>:<until>` for each time that its entries
 *             became stale later, at most four: entries that began before `until` (else `since`) have been stale since then.
 *             Release 0.1 cannot read such a record, so it drops the entries
 *   e:<key>   an entry: `P2.<asOf>.<generation>.<storedAt>.` and what `encodeHead` makes, then the payload
 *   l:<key>   the lease of the process that loads the key: `<ticket>|<stamp>|<generation>|<number>|<tags as JSON>`. Stamp and
 *             generation are the clock's when it was granted; the number says how many of the tags the caller named then
 *
 * An entry is valid if its generation is the clock's, and the record of each of its tags exists and is not later than `asOf`,
 * the clock as it was before the load began. What Redis evicts can therefore only make entries invalid.
 *
 * All reads are MGET, for which a value of another type is missing.
 *
 * Stamps are written with `%.0f`, because Lua otherwise writes only 14 digits of a number.
 */
export const keyPrefix = `
-- From a key as it arrived: the client may have put a prefix of its own before each.
local prefix = string.sub(KEYS[1], 1, -6)
`

export const functions = `
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function text(stamp)
  return string.format('%.0f', stamp)
end
local function parseClock(record)
  local stamp, generation = string.match(record or '', '^(%d+)|(%w+)$')
  return tonumber(stamp), generation
end
-- The clock, begun anew if it was lost: later than anything the caller has seen, in a generation of its own.
local function readClock(key, record, seed, seen)
  local stamp, generation = parseClock(record)
  if stamp then return stamp, generation, record end
  stamp = math.max(now(), tonumber(seen) + 1)
  record = text(stamp) .. '|' .. seed
  redis.call('SET', key, record)
  return stamp, seed, record
end
local function advance(key, seed, seen)
  local stamp, generation = readClock(key, redis.call('MGET', key)[1], seed, seen)
  -- If the clock is ahead of the time, as after that of another host, it goes on in steps that differ: after a failover that lost
  -- changes, others must not get the stamps of the lost ones. The time catches up with it at up to 20,000 changes a second.
  local time = now()
  local after = math.max(time, stamp + 1 + time % 100)
  redis.call('SET', key, text(after) .. '|' .. generation)
  return after, stamp, generation
end
local function keepFor(key, value, ms)
  redis.call('SET', key, value, 'PX', math.max(redis.call('PTTL', key), tonumber(ms)))
end
-- What MGET answers, however many keys there are.
local function getAll(keys)
  if #keys <= 1000 then return redis.call('MGET', unpack(keys)) end
  local found = {}
  for first = 1, #keys, 1000 do
    local records = redis.call('MGET', unpack(keys, first, math.min(first + 999, #keys)))
    for index = 1, #records do found[first + index - 1] = records[index] end
  end
  return found
end
local function tagRecords(tags)
  if #tags == 0 then return {} end
  local keys = {}
  for index, tag in ipairs(tags) do keys[index] = prefix .. 't:' .. tag end
  return getAll(keys)
end
-- When the tag was invalidated, and the latest time that this was or its entries became stale; nothing if the record is lost.
local function stampsOf(record)
  local hard = tonumber(record)
  if hard then return hard, hard end
  local before, soft = string.match(record or '', '^(%d+)~[%d:~]-(%d+)$')
  if before then return tonumber(before), tonumber(soft) end
end
-- Since when an entry of 'asOf' is stale because of a tag with this record. The entry is older than that, so 'asOf' is no later.
local function staleSince(record, asOf)
  for since, last in string.gmatch(record, '~(%d+):?(%d*)') do
    if asOf < (tonumber(last) or tonumber(since)) then return math.max(asOf, tonumber(since)) end
  end
end
-- Publishes a change. A user without the right to the channel has changed the records all the same: returns Redis' refusal.
local function announce(channel, stamp, before, generation, message)
  local sent = redis.pcall('PUBLISH', channel, text(stamp) .. '|' .. text(before) .. '|' .. generation .. '|' .. message)
  return type(sent) == 'table' and sent.err or ''
end
local function decodeTags(json)
  local isRead, tags = pcall(cjson.decode, json)
  return isRead and type(tags) == 'table' and tags or {}
end
`

export const prelude: string = keyPrefix + functions
