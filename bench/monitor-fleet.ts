import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createClient } from '@redis/client'
import { type FleetTransport, PerformanceMonitor, redisFleet } from 'posthaste'

const sizes = [
  { members: 10, endpoints: 50 },
  { members: 100, endpoints: 100 },
  { members: 300, endpoints: 300 },
]

/**
 * A large fleet on one Redis, simulated: one process publishes under the names of all members what one of them would. Says what that
 * costs Redis and the process that is asked for all.
 */
export default async function monitorFleet(): Promise<string> {
  const client = openRedis()
  await client.connect()
  const rows: string[] = []
  for (const size of sizes) rows.push(await measure(client, size))
  await client.close()
  return [
    '| members | endpoints each | a publication | to publish | in Redis | fleet document | longest piece | fleet metrics | longest piece |',
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...rows,
    '',
    'Each member publishes once in 10 s, with one command. A document or a scrape reads all of them with one command.',
  ].join('\n')
}

async function measure(
  client: ReturnType<typeof openRedis>,
  { members, endpoints }: (typeof sizes)[number],
): Promise<string> {
  const namespace = `bench-${process.pid}`
  const keys = [`{posthaste:${namespace}}:fleet`, `{posthaste:${namespace}}:fleet:times`]
  const fleet = redisFleet(client as never, { namespace, interval: '1h' })
  const bytes = await publicationOf(endpoints)
  const startedAt = performance.now()
  for (let member = 0; member < members - 1; member++) await fleet.publish(`member ${member}`, bytes)
  const publishMs = (performance.now() - startedAt) / (members - 1)
  const stored = Number(await client.sendCommand(['MEMORY', 'USAGE', keys[0] as string, 'SAMPLES', '0']))
  const monitor = new PerformanceMonitor({ instance: 'asked', fleet, sampleInterval: false })
  record(monitor, endpoints)
  const document = await timed(async () => {
    const { fleet } = await monitor.fleetSnapshot()
    if (fleet?.instances !== members) throw new Error(`The document has ${fleet?.instances} of ${members} members`)
  })
  const metrics = await timed(async () => {
    for await (const _ of monitor.prometheus({ scope: 'fleet' }));
  })
  await monitor.close()
  await client.del(keys)
  return `| ${members} | ${endpoints} | ${(bytes.length / 1_024).toFixed(0)} KB | ${publishMs.toFixed(1)} ms | ${(stored / 1_048_576).toFixed(1)} MB | ${document} | ${metrics} |`
}

/** What a process with so many endpoints publishes, after five minutes of traffic. */
async function publicationOf(endpoints: number): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  const transport: FleetTransport = {
    intervalMs: 200,
    publish: async (_, bytes) => resolve(bytes),
    remove: async () => {},
    collect: async () => [],
    close: async () => {},
  }
  const monitor = new PerformanceMonitor({ fleet: transport, sampleInterval: false })
  record(monitor, endpoints)
  const bytes = await promise
  await monitor.close()
  return bytes
}

function record(monitor: PerformanceMonitor, endpoints: number): void {
  for (let endpoint = 0; endpoint < endpoints; endpoint++) {
    for (let request = 0; request < 300; request++) {
      const ms = 5 * Math.exp(Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()))
      const status = request % 100 === 0 ? 404 : 200
      monitor.record('GET', `/some/route/${endpoint}/:id`, status, monitor.start() - ms)
    }
  }
}

async function timed(work: () => Promise<unknown>): Promise<string> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const startedAt = performance.now()
  await work()
  const ms = performance.now() - startedAt
  delay.disable()
  return `${ms.toFixed(0)} ms | ${(delay.max / 1e6).toFixed(0)} ms`
}

function openRedis() {
  return createClient({ url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' })
}
