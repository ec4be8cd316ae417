import { nodeCrypto } from '../../shared/platform/builtins.ts'
import { leaseMs } from '../store/store.ts'
import { clear, invalidate, makeStale, remove, set } from './change-scripts.ts'
import { functions, keyPrefix, prelude } from './script-functions.ts'

/** A tag's record outlives the entries that carry it by half of this at least; losing it early only makes them misses. */
export const tagMarginMs = 3_600_000

/** A script and the name under which Redis keeps it. */
export interface RedisScript {
  readonly text: string
  readonly sha: string
}

/** The ticket of a lease, also of one that release 0.1 granted: there the ticket is the whole record. */
const ticketOf = `
local function ticketOf(lease)
  return string.match(lease or '', '^%w+')
end
`

/**
 * What a read says of an entry, by its number. `softened`: stale because one of its tags was invalidated with `serveStale`.
 */
export const entryStates = ['absent', 'corrupt', 'invalidated', 'expired', 'softened', 'stale', 'fresh'] as const
export type EntryState = (typeof entryStates)[number]

/**
 * Answers the usual miss: one entry is asked for and absent, each named tag has a record, and nobody loads the entry. In all
 * other cases the script goes on, with the functions that it needs then.
 */
const usualMiss = `
local found
if ARGV[1] == 'load' and ARGV[4] == '1' and #KEYS <= 1000 then
  found = redis.call('MGET', unpack(KEYS))
  local isUsual = not found[2] and string.match(found[1] or '', '^%d+|%w+$')
  for index = 3, #KEYS do isUsual = isUsual and tonumber(found[index]) end
  if isUsual then
    local lease = prefix .. 'l:' .. string.sub(KEYS[2], #prefix + 3)
    local grant = ARGV[2] .. '|' .. found[1] .. '|' .. (#KEYS - 2) .. '|' .. ARGV[5]
    if redis.call('SET', lease, grant, 'NX', 'PX', ${leaseMs}) then
      local time = redis.call('TIME')
      return { found[1], time[1] * 1000000 + time[2], ${entryStates.indexOf('absent')}, 1, 0, '' }
    end
  end
end
`

/**
 * Reads entries, checks their tags and grants leases.
 *
 * KEYS clock, entries, records of the named tags. ARGV mode, ticket (which also names a generation that begins), seen, number
 * of entries, the named tags as JSON.
 * Returns the clock's record, the server's time, and for each entry the number of its state, whether a lease was granted, its
 * age in microseconds, its bytes.
 */
const read = `
if ARGV[1] == 'verify' then
  -- A command that writes, so a replica refuses it, whether the key exists or not.
  local answer = redis.pcall('DEL', prefix .. 'none')
  if type(answer) == 'table' and string.find(answer.err, 'READONLY') then
    return redis.error_reply('READONLY the primary has become a replica')
  end
end
local ${entryStates.join(', ')} = ${entryStates.map((_, number) => number).join(', ')}
local mode, ticket, seen, entries, namedText = unpack(ARGV)
local last = 1 + entries
found = found or getAll(KEYS)
local clock, generation, record = readClock(KEYS[1], found[1], ticket, seen)
local time = now()

-- Whether an entry with these tags is valid, and since when it is stale if a tag says so.
local function judge(records, first, final, asOf)
  local since
  for index = first, final do
    local hard, latest = stampsOf(records[index])
    if not hard or hard > asOf then return false end
    if latest > asOf then since = math.min(since or latest, staleSince(records[index], asOf)) end
  end
  return true, since
end
-- For an entry with other tags than the named ones: it must carry those too.
local function areCurrent(tagsText, asOf)
  local tags, carried = cjson.decode(tagsText), {}
  for _, tag in ipairs(tags) do carried[prefix .. 't:' .. tag] = true end
  for index = last + 1, #KEYS do if not carried[KEYS[index]] then return false end end
  return judge(tagRecords(tags), 1, #tags, asOf)
end
local function stateOf(entry)
  if not entry then return absent, 0 end
  local asOf, born, stored, freshFor, staleFor, length, at =
    string.match(entry, '^P2%.(%d+)%.(%w+)%.(%d+)%.(%d+)%.(%d+)%.(%d+)%.%d+%.()')
  if not asOf then return corrupt, 0 end
  asOf = tonumber(asOf)
  if born ~= generation or asOf > clock then return invalidated, 0 end
  local tagsText = string.sub(entry, at, at + length - 1)
  local isRead, isValid, since = true
  if tagsText == namedText then isValid, since = judge(found, last + 1, #KEYS, asOf)
  else isRead, isValid, since = pcall(areCurrent, tagsText, asOf) end
  if not isRead then return corrupt, 0 end
  if not isValid then return invalidated, 0 end
  local age = math.max(0, time - stored)
  -- As old as an entry that has been stale by age for as long.
  if since then age = math.max(age, freshFor + math.max(0, time - since)) end
  if age < tonumber(freshFor) then return fresh, age end
  if age < freshFor + staleFor then return since and softened or stale, age end
  return expired, age
end
local function isAnyLater(tags, stamp)
  for _, record in ipairs(tagRecords(tags)) do
    local _, at = stampsOf(record)
    if at and at > stamp then return true end
  end
  return false
end
-- Whether the holder's value can no longer be used: its generation is over, or since it began a tag of its load, of this caller
-- or of the stored entry was invalidated. A lease of release 0.1 has no stamp, and stands. A value of another type is no lease.
local function givesWay(lease, entry)
  if not lease then return true end
  local stamp, born, number, tagsText = string.match(lease, '^%w+|(%d+)|(%w+)|(%d+)|(.*)$')
  if not stamp then return false end
  stamp, number = tonumber(stamp), tonumber(number)
  if born ~= generation or stamp > clock then return true end
  for index = last + 1, #KEYS do
    local _, at = stampsOf(found[index])
    if at and at > stamp then return true end
  end
  for index, record in ipairs(tagRecords(decodeTags(tagsText))) do
    local _, at = stampsOf(record)
    if at and at > stamp then return true end
    -- It had a record when the lease was granted. Now it is lost, and the holder's value will be refused.
    if not at and index <= number and clock > stamp then return true end
  end
  local length, at = string.match(entry or '', '^P2%.%d+%.%w+%.%d+%.%d+%.%d+%.(%d+)%.%d+%.()')
  return length ~= nil and isAnyLater(decodeTags(string.sub(entry, at, at + length - 1)), stamp)
end
local grant = ticket .. '|' .. text(clock) .. '|' .. generation .. '|' .. (#KEYS - last) .. '|' .. namedText

local results = { record, time }
local isAnyGranted = false
for index = 2, last do
  local entry = found[index]
  local state, age = stateOf(entry)
  local isGranted = 0
  if mode == 'force' or mode == 'refresh' or (mode == 'load' and state ~= fresh) then
    local lease = prefix .. 'l:' .. string.sub(KEYS[index], #prefix + 3)
    if mode ~= 'force' and redis.call('SET', lease, grant, 'NX', 'PX', ${leaseMs}) then
      isGranted = 1
    elseif mode == 'force' or givesWay(redis.call('MGET', lease)[1], entry) then
      redis.call('SET', lease, grant, 'PX', ${leaseMs})
      isGranted = 1
    end
    isAnyGranted = isAnyGranted or isGranted == 1
  end
  local at = #results
  results[at + 1], results[at + 2], results[at + 3], results[at + 4] = state, isGranted, age, state >= softened and entry or ''
end
if isAnyGranted then
  -- A tag seen for the first time begins now, so that invalidations of other tags during the load do not count against it.
  for index = last + 1, #KEYS do
    if not stampsOf(found[index]) then keepFor(KEYS[index], text(clock), ${tagMarginMs}) end
  end
end
return results
`

/**
 * Stores each loaded entry, if its lease still stands and none of its tags was invalidated since.
 *
 * KEYS clock; for each entry: entry, lease. ARGV for each entry: ticket, asOf, generation, ms to live, head, payload, ms of
 * a tag, number of tags, tags.
 * Returns clock, generation, and what became of each entry: 1 stored, 0 invalidated or overtaken, 2 the lease is gone.
 */
const write = `
local keys, at = { KEYS[1] }, 1
for index = 3, #KEYS, 2 do
  keys[#keys + 1] = KEYS[index]
  local last = at + 7 + ARGV[at + 7]
  for tag = at + 8, last do keys[#keys + 1] = prefix .. 't:' .. ARGV[tag] end
  at = last + 1
end
local found = getAll(keys)
local clock, current = parseClock(found[1])
-- A load that took the lease over may have stored a later value.
local function isOvertaken(lease, entry, asOf)
  if lease then return true end
  local present = redis.pcall('GETRANGE', entry, 0, 63)
  local stored = type(present) == 'string' and tonumber(string.match(present, '^P2%.(%d+)%.'))
  return stored and stored > asOf
end
local outcomes, time, lease, at = {}, text(now()), 2, 1
for index = 2, #KEYS, 2 do
  local ticket, asOf, generation, ms, head, payload, tagMs, count = unpack(ARGV, at, at + 7)
  local since, outcome, holder = tonumber(asOf), 1, ticketOf(found[lease])
  if holder ~= ticket then
    outcome = isOvertaken(holder, KEYS[index], since) and 0 or 2
  else
    redis.call('DEL', keys[lease])
    if current ~= generation then outcome = 0 end
    for tag = lease + 1, clock and lease + count or lease do
      local _, stamp = stampsOf(found[tag])
      if stamp then
        if stamp > since then outcome = 0 end
        -- With half of the margin to spare, so that not every write prolongs it.
        if redis.call('PTTL', keys[tag]) < tagMs - ${tagMarginMs / 2} then redis.call('PEXPIRE', keys[tag], tagMs) end
      else
        -- Lost or new: it may have been invalidated since, unless nothing was.
        if clock > since then outcome = 0 end
        keepFor(keys[tag], text(clock), tagMs)
      end
    end
    if outcome == 1 then
      redis.call('SET', KEYS[index], 'P2.' .. asOf .. '.' .. generation .. '.' .. time .. '.' .. head .. payload, 'PX', ms)
    end
  end
  outcomes[#outcomes + 1] = outcome
  at, lease = at + 8 + count, lease + 1 + count
end
return { text(clock or 0), current or '', outcomes }
`

/**
 * Stores the name of an application, unless another name is there. KEYS clock, the name's record. ARGV name, ms. Returns the
 * name that is there then.
 */
const introduce = `
local name = redis.call('MGET', KEYS[2])[1] or ARGV[1]
if name == ARGV[1] then redis.call('SET', KEYS[2], name, 'PX', ARGV[2]) end
return name
`

/** Gives leases back. For each, KEYS lease, entry; ARGV ticket, and 'drop' to delete the entry too. */
const release = `
for index = 1, #KEYS, 2 do
  if ticketOf(redis.call('MGET', KEYS[index])[1]) == ARGV[index] then
    redis.call('DEL', KEYS[index])
    if ARGV[index + 1] == 'drop' then redis.call('DEL', KEYS[index + 1]) end
  end
end
return 1
`

/** Renews leases, and stores the tags that their loads have by now. KEYS leases. ARGV ms; for each: ticket, tags as JSON. */
const renew = `
for index, key in ipairs(KEYS) do
  local lease = redis.call('MGET', key)[1]
  local head = string.match(lease or '', '^%w+|%d+|%w+|%d+|')
  if head and ticketOf(lease) == ARGV[2 * index] then
    redis.call('SET', key, head .. ARGV[2 * index + 1], 'PX', ARGV[1])
  end
end
return 1
`

/**
 * Reads the stamps of tags. Tags without a stamp get the clock as it is.
 *
 * KEYS clock, records of the tags. ARGV seed, seen, ms of a tag. Returns the clock's record, and the stamp of each tag.
 */
const stamps = `
local seed, seen, tagMs = unpack(ARGV)
local found = getAll(KEYS)
local clock, generation, record = readClock(KEYS[1], found[1], seed, seen)
local results = { record }
for index = 2, #KEYS do
  local hard, latest = stampsOf(found[index])
  keepFor(KEYS[index], hard and found[index] or text(clock), tagMs)
  results[index] = text(latest or clock)
end
return results
`

type ScriptName =
  | 'read'
  | 'write'
  | 'set'
  | 'invalidate'
  | 'makeStale'
  | 'remove'
  | 'clear'
  | 'release'
  | 'renew'
  | 'introduce'
  | 'stamps'

export const scripts: Readonly<Record<ScriptName, RedisScript>> = {
  read: script(keyPrefix + usualMiss + functions + read),
  write: script(prelude + ticketOf + write),
  set: script(prelude + set),
  invalidate: script(prelude + invalidate),
  makeStale: script(prelude + makeStale),
  remove: script(prelude + remove),
  clear: script(prelude + clear),
  release: script(ticketOf + release),
  renew: script(ticketOf + renew),
  introduce: script(prelude + introduce),
  stamps: script(prelude + stamps),
}

function script(body: string): RedisScript {
  // For Dragonfly, which else refuses keys that are not in KEYS: tags that only the entry names, and leases.
  const text = `--!df flags=allow-undeclared-keys\n${body}`
  return { text, sha: nodeCrypto().createHash('sha1').update(text).digest('hex') }
}
