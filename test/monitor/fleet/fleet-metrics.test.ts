import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { type FleetMember, type FleetTransport, PerformanceMonitor, redisFleet } from 'posthaste'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { services } from '../../support/services.ts'

const requestsIn = (text: string) =>
  [...text.matchAll(/^http_server_request_duration_seconds_count\{.*http_route="\/users\/:id".*\} (\d+)$/gm)].map(
    ([, count]) => Number(count),
  )

async function expose(monitor: PerformanceMonitor, options: Parameters<PerformanceMonitor['prometheus']>[0]) {
  let text = ''
  for await (const piece of monitor.prometheus(options)) text += piece
  return text
}

describe('the metrics of a fleet', () => {
  it('are the truth from each worker of a cluster, and do not fall when one leaves', async () => {
    const program = fileURLToPath(new URL('./fixtures/cluster-metrics.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 60_000 })
    const { scrapes, classic, own } = JSON.parse(stdout) as { scrapes: string[][]; classic: string; own: string }
    expect(scrapes.map((texts) => texts.map(requestsIn))).toEqual([Array(9).fill([91]), Array(9).fill([100])])
    expect(requestsIn(own)[0]).toBeLessThan(91)
    expect(classic).toMatch(
      /^http_request_duration_seconds_count\{method="GET",route="\/users\/:id",status_code="200"\} 91$/m,
    )
    const membersOf = (text = '') =>
      [...text.matchAll(/^http_server_active_requests\{service_instance_id="(.*)"\}/gm)].map(([, id]) => id).sort()
    expect(membersOf(scrapes[0]?.[0])).toEqual(['worker 1', 'worker 2', 'worker 3'])
    expect(membersOf(scrapes[1]?.[0])).toEqual(['worker 2', 'worker 3'])
  }, 90_000)

  it('are none for a worker whose primary answers no more, and its own where it never did', async () => {
    const program = fileURLToPath(new URL('./fixtures/cluster-silence.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 60_000 })
    const { heard, unheard, alone } = JSON.parse(stdout) as { heard: string; unheard: string; alone: string }
    expect(requestsIn(heard)).toEqual([2])
    expect(unheard).toBe('')
    expect(requestsIn(alone)).toEqual([1])
  }, 90_000)

  it.skipIf(services.redis === undefined)('are one exposition over Redis, the same from each member', async () => {
    const namespace = randomUUID()
    const redis = new Redis(services.redis as string)
    onTestFinished(() => redis.del(`{posthaste:${namespace}}:fleet`).then(() => void redis.quit()))
    const monitors = [1, 2, 3].map((index) => {
      const fleet = redisFleet(redis, { namespace, interval: '200ms' })
      const monitor = new PerformanceMonitor({ instance: `member ${index}`, fleet, sampleInterval: false })
      onTestFinished(() => monitor.close())
      for (let count = 0; count < index * 10; count++) monitor.record('GET', '/users/:id', 200, monitor.start())
      monitor.recordTiming('db', index)
      return monitor
    })
    for (const monitor of monitors) {
      await vi.waitFor(async () => expect(requestsIn(await expose(monitor, { scope: 'fleet' }))).toEqual([60]), 10_000)
    }
    const text = await expose(monitors[1]!, { scope: 'fleet', openMetrics: true })
    expect(text).toContain('posthaste_timing_duration_seconds_count{name="db"} 3\n')
    expect(text).toMatch(/^posthaste_timing_duration_seconds_created\{name="db"\} 1\d{9}(\.\d+)?$/m)
    expect(text.match(/^# TYPE /gm)?.length).toBe(new Set(text.match(/^# TYPE \S+/gm)).size)
    expect(text).toMatch(/# EOF\n$/)
  })

  it('have no counter that falls, in whatever order the members have published', async () => {
    const published = new Map<string, Uint8Array>()
    let turn = 0
    const fleet: FleetTransport = {
      intervalMs: 3_600_000,
      publish: async (id, bytes) => void published.set(id, bytes),
      remove: async () => {},
      collect: async () => [...published].map(([id, bytes], place) => ({ id, ageMs: ((place + 1) * turn) % 7, bytes })),
      close: async () => {},
    }
    const monitors = [1, 2, 3, 4, 5, 6].map((index) => {
      let time = 1_000_000
      const monitor = new PerformanceMonitor({
        instance: `member ${index}`,
        fleet,
        clock: () => time,
        sampleInterval: false,
      })
      onTestFinished(() => monitor.close())
      for (let count = 1; count < 50; count++) {
        const startedAt = monitor.start()
        time += count / 7
        monitor.record('GET', `/${(index * count) % 5}`, 200, startedAt, count % 2 === 0 ? 'aborted' : 'completed')
      }
      return monitor
    })
    for (const monitor of monitors) await expose(monitor, { scope: 'fleet' })
    const before = new Map<string, number>()
    const fallen: string[] = []
    for (turn = 1; turn < 7; turn++) {
      const text = await expose(monitors[0]!, { scope: 'fleet' })
      for (const [, series = '', value] of text.matchAll(/^(\w+_(?:total|sum|count|bucket)(?:\{.*\})?) (.+)$/gm)) {
        if (Number(value) < (before.get(series) ?? 0)) fallen.push(series)
        before.set(series, Number(value))
      }
    }
    expect(before.size).toBeGreaterThan(80)
    expect(fallen).toEqual([])
  })

  it('publishes what was counted while a publication was under way', async () => {
    const published: Uint8Array[] = []
    const first = Promise.withResolvers<void>()
    let refresh = async () => {}
    const fleet: FleetTransport = {
      intervalMs: 3_600_000,
      async publish(_id, bytes) {
        published.push(bytes)
        if (published.length === 1) await first.promise
      },
      remove: async () => {},
      collect: async () => [],
      refresh: async () => {},
      onRefresh(publish) {
        refresh = publish
      },
      close: async () => {},
    }
    const monitor = new PerformanceMonitor({ instance: 'this', fleet, sampleInterval: false })
    onTestFinished(() => monitor.close())
    const early = refresh()
    await expect.poll(() => published.length).toBe(1)
    monitor.record('GET', '/users/:id', 200, monitor.start())
    const late = refresh()
    first.resolve()
    await Promise.all([early, late])
    expect(published.length).toBe(2)
  })

  it('are those of this process where there is no fleet, and none when the fleet cannot be read', async () => {
    const gone = () => Promise.reject(new Error('gone'))
    const silent = () => new Promise<never>(() => {})
    const broken: FleetTransport = { intervalMs: 1_000, publish: gone, collect: gone, remove: gone, close: gone }
    const unreadable = { ...broken, publish: async () => {} }
    const hung = { ...broken, publish: silent, collect: silent }
    const read = async (fleet: FleetTransport | undefined) => {
      const monitor = new PerformanceMonitor({ fleet, sampleInterval: false, onWarn: () => {} })
      onTestFinished(() => monitor.close())
      monitor.record('GET', '/users/:id', 200, monitor.start())
      expect(requestsIn(await expose(monitor, { scope: 'instance' }))).toEqual([1])
      return expose(monitor, { scope: 'fleet' })
    }
    expect(requestsIn(await read(undefined))).toEqual([1])
    expect(await Promise.all([broken, unreadable, hung].map(read))).toEqual(['', '', ''])
    expect(() => new PerformanceMonitor().prometheus({ scope: 'all' as 'fleet' })).toThrow(/Expected `scope`/)
  }, 30_000)

  it('and its document have all real members, whatever else calls itself one', async () => {
    const members: FleetMember[] = Array.from({ length: 5_000 }, (_, index) => ({
      id: `garbage ${index}`,
      ageMs: index % 2,
      bytes: Buffer.from(index % 3 === 0 ? '' : `garbage ${index}`),
    }))
    const transport: FleetTransport = {
      intervalMs: 60,
      async publish(id, bytes) {
        const known = members.findIndex((member) => member.id === id)
        members.splice(known === -1 ? members.length : known, 1, { id, ageMs: 10, bytes })
      },
      async remove() {},
      collect: async () => members,
      async close() {},
    }
    const monitors = ['a', 'b'].map((instance) => {
      const monitor = new PerformanceMonitor({ instance, fleet: transport, sampleInterval: false })
      onTestFinished(() => monitor.close())
      monitor.record('GET', '/users/:id', 200, monitor.start())
      return monitor
    })
    await vi.waitFor(() => expect(members.length).toBeGreaterThanOrEqual(5_002), 10_000)
    const { requests, fleet } = await monitors[0]!.fleetSnapshot()
    expect(requests.total).toBe(2)
    expect(fleet).toMatchObject({ instances: 2, stale: 0, rejected: 5_000 })
  })

  it.each([999, 1_500, 5_000, 70_000])(
    'and its document count everything with names of %i characters',
    async (length) => {
      const members = new Map<string, FleetMember>()
      const transport: FleetTransport = {
        intervalMs: 60_000,
        publish: async (id, bytes) => void members.set(id, { id, ageMs: 0, bytes }),
        remove: async () => {},
        collect: async () => [...members.values()],
        close: async () => {},
      }
      // Each character has three bytes.
      const name = `/${'漢'.repeat(length)}`
      const stats = () => ({ hits: 1, misses: 0, errors: 0, hitRate: 1, errorRate: 0, store: { state: name } })
      const monitors = ['a', 'b'].map((instance) => {
        const options = { instance, release: name, caches: { [name]: { stats } }, sampleInterval: false as const }
        const monitor = new PerformanceMonitor({ ...options, fleet: transport })
        onTestFinished(() => monitor.close())
        monitor.start({ original: {}, method: 'GET', route: name, isLongLived: false })
        monitor.record('GET', name, 200, monitor.start())
        monitor.recordTiming(name, 1)
        return monitor
      })
      for (const monitor of monitors) await expose(monitor, { scope: 'fleet' })
      const text = await expose(monitors[0]!, { scope: 'fleet' })
      expect(text).toMatch(/^http_server_request_duration_seconds_count\{.*\} 2$/m)
      expect(text).toMatch(/^posthaste_timing_duration_seconds_count\{.*\} 2$/m)
      const { fleet, endpoints, timings } = await monitors[0]!.fleetSnapshot()
      expect(fleet).toMatchObject({ instances: 2, rejected: 0 })
      expect(endpoints.map(({ total }) => total)).toEqual([2])
      expect(Object.values(timings).map(({ count }) => count)).toEqual([2])
      expect(monitors[0]!.endpoint('GET', name)?.total).toBe(1)
    },
  )
})
