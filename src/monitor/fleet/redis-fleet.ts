import { expectObject } from '../../shared/arguments.ts'
import { yieldIfDue } from '../../shared/time/slices.ts'
import {
  type FleetMember,
  type FleetOptions,
  type FleetTransport,
  forgottenIntervals,
  parseFleetOptions,
} from './transport.ts'

/** A client of ioredis, or of node-redis (`redis`, `@redis/client`) 4 and later, also for a cluster or sentinels. We never close it. */
export type FleetRedisClient =
  | { call(command: string, ...args: string[]): Promise<unknown> }
  | { sendCommand(args: string[]): Promise<unknown> }
  | { sendCommand(firstKey: string, isReadonly: boolean, args: string[]): Promise<unknown> }
  | { sendCommand(isReadonly: boolean, args: string[]): Promise<unknown> }

/**
 * Ages are measured by the clock of Redis, because the clocks of the hosts may differ. Each publisher also removes the
 * members that have not published for long. It finds them in a sorted set of times, because reading all publications would
 * take Redis longer than all else.
 */
const publishScript = `
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ms .. ' ' .. ARGV[2])
redis.call('ZADD', KEYS[2], ms, ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. (ms - ARGV[3]))
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. (ms + ARGV[3]), '+inf')) do gone[#gone + 1] = id end
if redis.call('HLEN', KEYS[1]) > redis.call('ZCARD', KEYS[2]) then
  for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do
    if not redis.call('ZSCORE', KEYS[2], id) then gone[#gone + 1] = id end
  end
end
for _, id in ipairs(gone) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1`

const collectScript = `
local now = redis.call('TIME')
return { now[1] * 1000 + math.floor(now[2] / 1000), redis.call('HGETALL', KEYS[1]) }`

/**
 * Carries a fleet's numbers through a Redis hash and a sorted set of times. Their keys have a hash tag, so it also works on Redis
 * Cluster. Needs the commands `EVAL`, `TIME`, `HSET`, `HGETALL`, `HDEL`, `HLEN`, `HKEYS`, `ZADD`, `ZRANGEBYSCORE`, `ZCARD`, `ZSCORE`,
 * `ZREM` and `PEXPIRE`.
 *
 * @example
 * ```ts
 * const monitor = new PerformanceMonitor({ service: 'crm', fleet: redisFleet(redis, { namespace: 'crm' }) })
 * ```
 *
 * @throws TypeError when the client is of another library, or `interval` is not a duration; RangeError when it is 0
 */
export function redisFleet(client: FleetRedisClient, options: FleetOptions = {}): FleetTransport {
  expectObject(client, 'client', [], 'a client of ioredis or node-redis')
  const { namespace, intervalMs } = parseFleetOptions(options)
  const key = `{posthaste:${namespace}}:fleet`
  const send = createSender(client, key)
  const timesKey = `${key}:times`
  return {
    intervalMs,
    async publish(id, bytes) {
      const text = Buffer.from(bytes).toString('base64')
      const forgottenMs = String(Math.ceil(intervalMs * forgottenIntervals))
      await send('EVAL', publishScript, '2', key, timesKey, id, text, forgottenMs)
    },
    async remove(id) {
      await send('HDEL', key, id)
      await send('ZREM', timesKey, id)
    },
    async collect() {
      const [now, all] = (await send('EVAL', collectScript, '1', key)) as [number, unknown[]]
      const members: FleetMember[] = []
      for (let place = 0; place < all.length; place += 2) {
        const [, at, text] = /^(\d+) (.*)$/s.exec(String(all[place + 1])) ?? []
        const bytes = Buffer.from(text ?? '', 'base64')
        // A time in the future was written before the clock was set back, or by the clock of another server.
        members.push({ id: String(all[place]), ageMs: Math.abs(Number(now) - Number(at ?? 0)), bytes })
        await yieldIfDue()
      }
      return members
    },
    async close() {},
  }
}

/** @param key - the key by which a client of a cluster finds the node */
function createSender(client: FleetRedisClient, key: string): (...args: [string, ...string[]]) => Promise<unknown> {
  // ioredis also has a `sendCommand`, with other arguments, so `call` goes first.
  if ('call' in client && typeof client.call === 'function') return (command, ...args) => client.call(command, ...args)
  if ('sendCommand' in client && typeof client.sendCommand === 'function') {
    const send = client.sendCommand.bind(client) as (...args: unknown[]) => Promise<unknown>
    // Clients of node-redis for a cluster or for sentinels must not send these commands to replicas.
    if ('slots' in client) return (...args) => send(key, false, args)
    if ('getSentinelNode' in client) return (...args) => send(false, args)
    return (...args) => send(args)
  }
  throw new TypeError('Expected `client` to be a client of ioredis or node-redis')
}
