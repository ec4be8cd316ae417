import { createHash } from 'node:crypto'

/** A script and the name under which Redis keeps it. */
export interface RedisScript {
  readonly text: string
  readonly sha: string
}

/*
 * Keys of a namespace `{ns}:`
 *   clock     `<stamp>|<generation>`: the stamp of the last change, microseconds, never going back; a generation ends when the
 *             namespace is cleared or the clock is lost
 *   t:<tag>   the stamp of the tag's last invalidation
 *   e:<key>   an entry: `P1.<asOf>.<generation>.<storedAt>.<length of header>.<header as JSON><payload>`
 *   l:<key>   the ticket of whoever loads the key
 *
 * An entry is valid if its generation is the clock's, and the record of each of its tags exists and is not later than `asOf`,
 * the clock as it was before the load began. What Redis evicts can therefore only make entries invalid.
 *
 * All reads are MGET, which sees a value of another type as none.
 */
const prelude = `
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
  if stamp then return stamp, generation end
  stamp = math.max(now(), tonumber(seen) + 1)
  redis.call('SET', key, text(stamp) .. '|' .. seed)
  return stamp, seed
end
local function advance(key, seed, seen)
  local stamp, generation = readClock(key, redis.call('MGET', key)[1], seed, seen)
  local after = math.max(now(), stamp + 1)
  redis.call('SET', key, text(after) .. '|' .. generation)
  return after, stamp, generation
end
local function keepFor(key, value, ms)
  redis.call('SET', key, value, 'PX', math.max(redis.call('PTTL', key), tonumber(ms)))
end
local function tagRecords(prefix, tags)
  local records = {}
  for first = 1, #tags, 1000 do
    local keys = {}
    for index = first, math.min(first + 999, #tags) do keys[#keys + 1] = prefix .. 't:' .. tags[index] end
    for _, record in ipairs(redis.call('MGET', unpack(keys))) do records[#records + 1] = tonumber(record or nil) or false end
  end
  return records
end
`

/**
 * Reads entries, checks their tags and grants tickets.
 *
 * KEYS clock, entries. ARGV mode, ticket, ms of the ticket, seed, seen, prefix, ms of a tag, tags.
 * Returns clock, generation, and for each entry its state, whether a ticket was granted, its age in microseconds, its bytes.
 */
const read = `
local mode, ticket, ticketMs, seed, seen, prefix, tagMs = unpack(ARGV, 1, 7)
local named = { unpack(ARGV, 8) }
local asked = { unpack(KEYS) }
for _, tag in ipairs(named) do asked[#asked + 1] = prefix .. 't:' .. tag end
local found = redis.call('MGET', unpack(asked))
-- The stamps of tags, false where there is no record. Most entries carry the named tags and no others.
local stamps = {}
for index, tag in ipairs(named) do stamps[tag] = tonumber(found[#KEYS + index] or nil) or false end
local clock, generation = readClock(KEYS[1], found[1], seed, seen)
local time = now()

-- Whether they are the named tags or more; the stamps of those are then known too.
local function carriesNamed(tags)
  local isSame = #tags == #named
  for index, tag in ipairs(tags) do isSame = isSame and named[index] == tag end
  if isSame then return true end
  local carried, others = {}, {}
  for _, tag in ipairs(tags) do
    carried[tag] = true
    if stamps[tag] == nil then others[#others + 1] = tag end
  end
  for index, stamp in ipairs(tagRecords(prefix, others)) do stamps[others[index]] = stamp end
  for _, tag in ipairs(named) do if not carried[tag] then return false end end
  return true
end

local function stateOf(entry)
  if not entry then return 'absent', 0 end
  local asOf, born, stored, length, at = string.match(entry, '^P1%.(%d+)%.(%w+)%.(%d+)%.(%d+)%.()')
  if not asOf then return 'corrupt', 0 end
  local isRead, header = pcall(cjson.decode, string.sub(entry, at, at + length - 1))
  if not isRead or type(header) ~= 'table' or type(header[1]) ~= 'number' or type(header[2]) ~= 'number'
    or type(header[9]) ~= 'table' then return 'corrupt', 0 end
  asOf = tonumber(asOf)
  if born ~= generation or asOf > clock then return 'invalidated', 0 end
  if not carriesNamed(header[9]) then return 'invalidated', 0 end
  for _, tag in ipairs(header[9]) do
    if not stamps[tag] or stamps[tag] > asOf then return 'invalidated', 0 end
  end
  local age = math.max(0, time - tonumber(stored))
  if age < header[1] * 1000 then return 'fresh', age end
  if age < (header[1] + header[2]) * 1000 then return 'stale', age end
  return 'expired', age
end

local results = { text(clock), generation }
local granted = false
for index = 2, #KEYS do
  local entry = found[index]
  local state, age = stateOf(entry)
  if state == 'corrupt' then redis.call('DEL', KEYS[index]) end
  local isUsable = state == 'fresh' or state == 'stale'
  local isGranted = 0
  if mode == 'force' or mode == 'refresh' or (mode == 'load' and state ~= 'fresh') then
    local lease = prefix .. 'l:' .. string.sub(KEYS[index], #prefix + 3)
    if mode == 'force' then
      redis.call('SET', lease, ticket, 'PX', ticketMs)
      isGranted = 1
    elseif redis.call('SET', lease, ticket, 'NX', 'PX', ticketMs) then
      isGranted = 1
    end
  end
  if isGranted == 1 then granted = true end
  local at = #results
  results[at + 1], results[at + 2], results[at + 3], results[at + 4] = state, isGranted, text(age), isUsable and entry or ''
end
if granted then
  -- A tag seen for the first time begins now, so that invalidations of other tags during the load do not count against it.
  for _, tag in ipairs(named) do
    if not stamps[tag] then keepFor(prefix .. 't:' .. tag, text(clock), tagMs) end
  end
end
return results
`

/**
 * Stores a loaded entry if the ticket still stands and no tag was invalidated since.
 *
 * KEYS clock, entry, lease. ARGV ticket, asOf, generation, ms to live, header, payload, prefix, ms of a tag, tags.
 * Returns what became of it (1 stored, 0 invalidated, 2 the ticket is gone), clock, generation.
 */
const write = `
local ticket, asOf, generation, ms, header, payload, prefix, tagMs = unpack(ARGV, 1, 8)
local tags = { unpack(ARGV, 9) }
local found = redis.call('MGET', KEYS[1], KEYS[3])
local clock, current = parseClock(found[1])
if found[2] ~= ticket then return { 2, text(clock or 0), current or '' } end
redis.call('DEL', KEYS[3])
if not clock then return { 0, '0', '' } end
local isCurrent = current == generation
for index, stamp in ipairs(tagRecords(prefix, tags)) do
  local key = prefix .. 't:' .. tags[index]
  if stamp then
    if stamp > tonumber(asOf) then isCurrent = false end
    if redis.call('PTTL', key) < tonumber(tagMs) then redis.call('PEXPIRE', key, tagMs) end
  else
    -- Lost or new: it may have been invalidated since, unless nothing was.
    if clock > tonumber(asOf) then isCurrent = false end
    keepFor(key, text(clock), tagMs)
  end
end
if not isCurrent then return { 0, text(clock), current } end
redis.call('SET', KEYS[2], 'P1.' .. asOf .. '.' .. generation .. '.' .. text(now()) .. '.' .. #header .. '.' .. header .. payload,
  'PX', ms)
return { 1, text(clock), current }
`

/**
 * Stores a value as of now.
 *
 * KEYS clock, entry, lease. ARGV seed, seen, ms to live, header, payload, prefix, ms of a tag, channel, message, tags.
 */
const set = `
local seed, seen, ms, header, payload, prefix, tagMs, channel, message = unpack(ARGV, 1, 9)
local tags = { unpack(ARGV, 10) }
local stamp, before, generation = advance(KEYS[1], seed, seen)
for index, record in ipairs(tagRecords(prefix, tags)) do
  keepFor(prefix .. 't:' .. tags[index], text(record or stamp), tagMs)
end
redis.call('DEL', KEYS[3])
redis.call('SET', KEYS[2], 'P1.' .. text(stamp) .. '.' .. generation .. '.' .. text(now()) .. '.' .. #header .. '.' .. header .. payload,
  'PX', ms)
redis.call('PUBLISH', channel, text(stamp) .. '|' .. text(before) .. '|' .. generation .. '|' .. message)
return { text(stamp), generation, text(before) }
`

/** Invalidates tags. KEYS clock. ARGV seed, seen, prefix, ms of a tag, channel, message, tags. */
const invalidate = `
local seed, seen, prefix, tagMs, channel, message = unpack(ARGV, 1, 6)
local stamp, before, generation = advance(KEYS[1], seed, seen)
for index = 7, #ARGV do keepFor(prefix .. 't:' .. ARGV[index], text(stamp), tagMs) end
redis.call('PUBLISH', channel, text(stamp) .. '|' .. text(before) .. '|' .. generation .. '|' .. message)
return { text(stamp), generation, text(before) }
`

/** Deletes entries and the tickets of whoever loads them. KEYS clock, entries and leases. ARGV seed, seen, channel, message. */
const remove = `
local stamp, before, generation = advance(KEYS[1], ARGV[1], ARGV[2])
for index = 2, #KEYS do redis.call('DEL', KEYS[index]) end
redis.call('PUBLISH', ARGV[3], text(stamp) .. '|' .. text(before) .. '|' .. generation .. '|' .. ARGV[4])
return { text(stamp), generation, text(before) }
`

/** Begins a new generation. KEYS clock. ARGV seed, seen, channel, message. */
const clear = `
local stamp, before = advance(KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[1], text(stamp) .. '|' .. ARGV[1])
redis.call('PUBLISH', ARGV[3], text(stamp) .. '|' .. text(before) .. '|' .. ARGV[1] .. '|' .. ARGV[4])
return { text(stamp), ARGV[1], text(before) }
`

/** Gives a ticket back. KEYS lease. ARGV ticket. */
const release = `
if redis.call('MGET', KEYS[1])[1] == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
`

/** Keeps a ticket from expiring. KEYS lease. ARGV ticket, ms. */
const renew = `
if redis.call('MGET', KEYS[1])[1] == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`

export const scripts: Readonly<
  Record<'read' | 'write' | 'set' | 'invalidate' | 'remove' | 'clear' | 'release' | 'renew', RedisScript>
> = {
  read: script(read),
  write: script(write),
  set: script(set),
  invalidate: script(invalidate),
  remove: script(remove),
  clear: script(clear),
  release: script(release),
  renew: script(renew),
}

function script(body: string): RedisScript {
  const text = prelude + body
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}
