// The scripts that change something. `redis-scripts.ts` prepends the functions that they call.

/**
 * Stores a value as of now.
 *
 * KEYS clock, entry, lease. ARGV seed, seen, ms to live, head, payload, ms of a tag, channel, message, tags.
 * All scripts here return: stamp, generation, the stamp before, and why the message was refused.
 */
export const set = `
local seed, seen, ms, head, payload, tagMs, channel, message = unpack(ARGV, 1, 8)
local tags = {}
for index = 9, #ARGV do tags[index - 8] = ARGV[index] end
local stamp, before, generation = advance(KEYS[1], seed, seen)
for index, record in ipairs(tagRecords(tags)) do
  keepFor(prefix .. 't:' .. tags[index], stampsOf(record) and record or text(stamp), tagMs)
end
redis.call('DEL', KEYS[3])
redis.call('SET', KEYS[2], 'P2.' .. text(stamp) .. '.' .. generation .. '.' .. text(now()) .. '.' .. head .. payload,
  'PX', ms)
return { text(stamp), generation, text(before), announce(channel, stamp, before, generation, message) }
`

/**
 * Invalidates tags. KEYS clock, records of the tags. ARGV seed, seen, ms of a tag, channel, message.
 * The records are in KEYS so that a cluster node to which they are being moved does not create them a second time.
 */
export const invalidate = `
local seed, seen, tagMs, channel, message = unpack(ARGV)
local stamp, before, generation = advance(KEYS[1], seed, seen)
for index = 2, #KEYS do keepFor(KEYS[index], text(stamp), tagMs) end
return { text(stamp), generation, text(before), announce(channel, stamp, before, generation, message) }
`

/** Makes the entries of tags stale. As {@link invalidate}. */
export const makeStale = `
local seed, seen, tagMs, channel, message = unpack(ARGV)
local stamp, before, generation = advance(KEYS[1], seed, seen)
-- The record with one more time at which entries became stale. When there are too many, two neighbours become one, where that makes
-- entries of the second seem stale for longer by the least share: they are served for a shorter time, never for longer.
local function soften(record)
  local hard, times = stampsOf(record), {}
  -- Without a record all entries with the tag are invalid.
  if not hard then return text(stamp) end
  for since, last in string.gmatch(record, '~(%d+):?(%d*)') do
    times[#times + 1] = { since = tonumber(since), last = tonumber(last) or tonumber(since) }
  end
  if #times >= 4 then
    local second, least
    for index = 2, #times do
      local share = (times[index].last - times[index - 1].since) / (stamp - times[index].last)
      if not least or share < least then second, least = index, share end
    end
    times[second].since = times[second - 1].since
    table.remove(times, second - 1)
  end
  local softened = text(hard)
  for _, time in ipairs(times) do
    softened = softened .. '~' .. text(time.since) .. (time.last > time.since and ':' .. text(time.last) or '')
  end
  return softened .. '~' .. text(stamp)
end
local found = getAll(KEYS)
for index = 2, #KEYS do keepFor(KEYS[index], soften(found[index]), tagMs) end
return { text(stamp), generation, text(before), announce(channel, stamp, before, generation, message) }
`

/** Deletes entries and the leases of the processes that load them. KEYS clock, entries and leases. ARGV seed, seen, channel, message. */
export const remove = `
local stamp, before, generation = advance(KEYS[1], ARGV[1], ARGV[2])
for index = 2, #KEYS do redis.call('DEL', KEYS[index]) end
return { text(stamp), generation, text(before), announce(ARGV[3], stamp, before, generation, ARGV[4]) }
`

/** Begins a new generation. KEYS clock. ARGV seed, seen, channel, message. */
export const clear = `
local stamp, before = advance(KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[1], text(stamp) .. '|' .. ARGV[1])
return { text(stamp), ARGV[1], text(before), announce(ARGV[3], stamp, before, ARGV[1], ARGV[4]) }
`
