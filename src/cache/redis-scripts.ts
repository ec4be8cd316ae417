import { createHash } from 'node:crypto'
import { ticketMs } from './store.ts'

/** A tag's record outlives the entries that carry it by at least this; losing it early only makes them misses. */
export const tagMarginMs = 3_600_000

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
 *   e:<key>   an entry: `P2.<asOf>.<generation>.<storedAt>.` and what `packHead` makes, then the payload
 *   l:<key>   the ticket of whoever loads the key
 *
 * An entry is valid if its generation is the clock's, and the record of each of its tags exists and is not later than `asOf`,
 * the clock as it was before the load began. What Redis evicts can therefore only make entries invalid.
 *
 * All reads are MGET, which sees a value of another type as none.
 *
 * Stamps are written with `%.0f`, since Lua's own way of writing numbers keeps 14 digits.
 */
const prelude = `
-- From a key as it arrived: the client may have put a prefix of its own before each.
local prefix = string.sub(KEYS[1], 1, -6)
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
  local after = math.max(now(), stamp + 1)
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
local function tagStamps(tags)
  if #tags == 0 then return {} end
  local keys = {}
  for index, tag in ipairs(tags) do keys[index] = prefix .. 't:' .. tag end
  local stamps = getAll(keys)
  for index = 1, #tags do stamps[index] = tonumber(stamps[index]) or false end
  return stamps
end
`

/** What a read says of an entry, by its number. */
export const foundStates = ['absent', 'corrupt', 'invalidated', 'expired', 'stale', 'fresh'] as const

/**
 * Reads entries, checks their tags and grants tickets.
 *
 * KEYS clock, entries, records of the named tags. ARGV mode, ticket (which also names a generation that begins), seen, number
 * of entries, the named tags as JSON.
 * Returns the clock's record, the server's time, and for each entry the number of its state, whether a ticket was granted, its
 * age in microseconds, its bytes.
 */
const read = `
local ${foundStates.join(', ')} = ${foundStates.map((_, number) => number).join(', ')}
local mode, ticket, seen, entries, namedText = unpack(ARGV)
local last = 1 + entries
local found = getAll(KEYS)
local clock, generation, record = readClock(KEYS[1], found[1], ticket, seen)
local time = now()

local function areNamedCurrent(asOf)
  for index = last + 1, #KEYS do
    local stamp = tonumber(found[index])
    if not stamp or stamp > asOf then return false end
  end
  return true
end
-- For an entry with other tags than the named ones: it must carry those too.
local function areCurrent(tagsText, asOf)
  local tags, carried = cjson.decode(tagsText), {}
  for _, tag in ipairs(tags) do carried[prefix .. 't:' .. tag] = true end
  for index = last + 1, #KEYS do if not carried[KEYS[index]] then return false end end
  for _, stamp in ipairs(tagStamps(tags)) do
    if not stamp or stamp > asOf then return false end
  end
  return true
end
local function stateOf(entry)
  if not entry then return absent, 0 end
  local asOf, born, stored, freshFor, staleFor, length, at =
    string.match(entry, '^P2%.(%d+)%.(%w+)%.(%d+)%.(%d+)%.(%d+)%.(%d+)%.%d+%.()')
  if not asOf then return corrupt, 0 end
  asOf = tonumber(asOf)
  if born ~= generation or asOf > clock then return invalidated, 0 end
  local tagsText = string.sub(entry, at, at + length - 1)
  if tagsText == namedText then
    if not areNamedCurrent(asOf) then return invalidated, 0 end
  else
    local isRead, isCurrent = pcall(areCurrent, tagsText, asOf)
    if not isRead then return corrupt, 0 end
    if not isCurrent then return invalidated, 0 end
  end
  local age = math.max(0, time - stored)
  if age < tonumber(freshFor) then return fresh, age end
  if age < freshFor + staleFor then return stale, age end
  return expired, age
end

local results = { record, time }
local isAnyGranted = false
for index = 2, last do
  local entry = found[index]
  local state, age = stateOf(entry)
  local isGranted = 0
  if mode == 'force' or mode == 'refresh' or (mode == 'load' and state ~= fresh) then
    local lease = prefix .. 'l:' .. string.sub(KEYS[index], #prefix + 3)
    if mode == 'force' then
      redis.call('SET', lease, ticket, 'PX', ${ticketMs})
      isGranted = 1
    elseif redis.call('SET', lease, ticket, 'NX', 'PX', ${ticketMs}) then
      isGranted = 1
    end
    isAnyGranted = isAnyGranted or isGranted == 1
  end
  local at = #results
  results[at + 1], results[at + 2], results[at + 3], results[at + 4] = state, isGranted, age, state >= stale and entry or ''
end
if isAnyGranted then
  -- A tag seen for the first time begins now, so that invalidations of other tags during the load do not count against it.
  for index = last + 1, #KEYS do
    if not tonumber(found[index]) then keepFor(KEYS[index], text(clock), ${tagMarginMs}) end
  end
end
return results
`

/**
 * Stores a loaded entry if the ticket still stands and no tag was invalidated since.
 *
 * KEYS clock, entry, lease. ARGV ticket, asOf, generation, ms to live, head, payload, ms of a tag, tags.
 * Returns what became of it (1 stored, 0 invalidated, 2 the ticket is gone), clock, generation.
 */
const write = `
local ticket, asOf, generation, ms, head, payload, tagMs = unpack(ARGV, 1, 7)
local tags = { unpack(ARGV, 8) }
local found = redis.call('MGET', KEYS[1], KEYS[3])
local clock, current = parseClock(found[1])
if found[2] ~= ticket then return { 2, text(clock or 0), current or '' } end
redis.call('DEL', KEYS[3])
if not clock then return { 0, '0', '' } end
local isCurrent = current == generation
for index, stamp in ipairs(tagStamps(tags)) do
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
redis.call('SET', KEYS[2], 'P2.' .. asOf .. '.' .. generation .. '.' .. text(now()) .. '.' .. head .. payload,
  'PX', ms)
return { 1, text(clock), current }
`

/**
 * Stores a value as of now.
 *
 * KEYS clock, entry, lease. ARGV seed, seen, ms to live, head, payload, ms of a tag, channel, message, tags.
 */
const set = `
local seed, seen, ms, head, payload, tagMs, channel, message = unpack(ARGV, 1, 8)
local tags = { unpack(ARGV, 9) }
local stamp, before, generation = advance(KEYS[1], seed, seen)
for index, known in ipairs(tagStamps(tags)) do
  keepFor(prefix .. 't:' .. tags[index], text(known or stamp), tagMs)
end
redis.call('DEL', KEYS[3])
redis.call('SET', KEYS[2], 'P2.' .. text(stamp) .. '.' .. generation .. '.' .. text(now()) .. '.' .. head .. payload,
  'PX', ms)
redis.call('PUBLISH', channel, text(stamp) .. '|' .. text(before) .. '|' .. generation .. '|' .. message)
return { text(stamp), generation, text(before) }
`

/** Invalidates tags. KEYS clock. ARGV seed, seen, ms of a tag, channel, message, tags. */
const invalidate = `
local seed, seen, tagMs, channel, message = unpack(ARGV, 1, 5)
local stamp, before, generation = advance(KEYS[1], seed, seen)
for index = 6, #ARGV do keepFor(prefix .. 't:' .. ARGV[index], text(stamp), tagMs) end
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
  read: script(prelude + read),
  write: script(prelude + write),
  set: script(prelude + set),
  invalidate: script(prelude + invalidate),
  remove: script(prelude + remove),
  clear: script(prelude + clear),
  release: script(release),
  renew: script(renew),
}

function script(text: string): RedisScript {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}
