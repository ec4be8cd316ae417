import { parseDuration } from '../../shared/duration.ts'
import { type FleetMember, type FleetOptions, type FleetTransport, forgottenIntervals } from './transport.ts'

/** A client of ioredis, or of node-redis (`redis`, `@redis/client`) 4 and later. Never closed by us. */
export type FleetRedisClient =
  | { call(command: string, ...args: string[]): Promise<unknown> }
  | { sendCommand(args: string[]): Promise<unknown> }

/**
 * Redis's own clock says how old a publication is, so that the clocks of the hosts do not matter. Members that were silent
 * for long are taken away by whoever publishes next.
 */
const publishScript = `
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ms .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at = tonumber(string.match(all[i + 1], '^%d+')) or 0
  if ms - at > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i]) end
end
return 1`

const collectScript = `
local now = redis.call('TIME')
return { now[1] * 1000 + math.floor(now[2] / 1000), redis.call('HGETALL', KEYS[1]) }`

/**
 * Carries a fleet's numbers through Redis: one hash, whose key has a hash tag, so it works on a cluster. Needs `EVAL`,
 * `TIME`, `HSET`, `HGETALL`, `HDEL`, `PEXPIRE`.
 *
 * @example
 * ```ts
 * const monitor = new PerformanceMonitor({ service: 'crm', fleet: redisFleet(redis, { namespace: 'crm' }) })
 * ```
 *
 * @throws TypeError when the client is none that is known
 */
export function redisFleet(
  client: FleetRedisClient,
  { namespace = 'default', interval = '10s' }: FleetOptions = {},
): FleetTransport {
  const intervalMs = parseDuration(interval, 'interval')
  const send = sender(client)
  const key = `{posthaste:${namespace}}:fleet`
  return {
    intervalMs,
    async publish(id, bytes) {
      const text = Buffer.from(bytes).toString('base64')
      await send('EVAL', publishScript, '1', key, id, text, String(Math.ceil(intervalMs * forgottenIntervals)))
    },
    async remove(id) {
      await send('HDEL', key, id)
    },
    async collect() {
      const [now, all] = (await send('EVAL', collectScript, '1', key)) as [number, unknown[]]
      const members: FleetMember[] = []
      for (let place = 0; place < all.length; place += 2) {
        const [, at, text] = /^(\d+) (.*)$/s.exec(String(all[place + 1])) ?? []
        const bytes = Buffer.from(text ?? '', 'base64')
        members.push({ id: String(all[place]), ageMs: Math.max(0, Number(now) - Number(at ?? 0)), bytes })
      }
      return members
    },
    async close() {},
  }
}

function sender(client: FleetRedisClient): (...args: [string, ...string[]]) => Promise<unknown> {
  // ioredis has a `sendCommand` as well, which takes something else.
  if ('call' in client && typeof client.call === 'function') return (command, ...args) => client.call(command, ...args)
  if ('sendCommand' in client && typeof client.sendCommand === 'function') return (...args) => client.sendCommand(args)
  throw new TypeError('Expected the client of `redisFleet` to be one of ioredis or node-redis')
}
