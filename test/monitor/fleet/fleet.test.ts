import { type ChildProcess, execFile, fork } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { createClient } from '@redis/client'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { type FleetMember, type FleetTransport, PerformanceMonitor, redisFleet, type StatsDocument } from 'posthaste'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { decodeFamilies, encodeFamilies } from '../../../src/monitor/exposition/fleet-families.ts'
import type { MetricFamily } from '../../../src/monitor/exposition/metric-family.ts'
import { decodePublication, encodePublication, type Publication } from '../../../src/monitor/fleet/publication.ts'
import { endpointWidth } from '../../../src/monitor/traffic/endpoint.ts'
import { StallCorrection } from '../../../src/monitor/traffic/sliding-window.ts'
import { Tally, type WindowReading } from '../../../src/monitor/traffic/tally.ts'
import { BucketLayout } from '../../../src/shared/buckets.ts'
import { services } from '../../support/services.ts'

const cleanups: Array<() => unknown> = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

describe('a fleet', () => {
  it('has percentiles of all requests, not of percentiles', async () => {
    const transport = memoryTransport()
    const [fast] = [member('fast', transport, 10), member('slow', transport, 1_000)]
    await transport.isPublished('slow')
    const { requests, endpoints, fleet, scope } = await fast!.fleetSnapshot()
    expect(scope).toBe('fleet')
    expect(requests).toMatchObject({ count: 200, total: 200 })
    expect(requests.latencyMs.p50).toBeCloseTo(10, 0)
    expect(requests.latencyMs.p95).toBeCloseTo(1_000, -1)
    expect(requests.latencyMs.avg).toBeCloseTo(505, 0)
    expect(endpoints).toHaveLength(1)
    expect(fleet).toMatchObject({ instances: 2, stale: 0, rejected: 0 })
  })

  it('publishes soon, and then at its interval, however long that is', async () => {
    const transport = { ...memoryTransport(), intervalMs: 40 * 86_400_000 }
    const publish = vi.spyOn(transport, 'publish')
    member('me', transport, 10)
    await transport.isPublished('me')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(publish).toHaveBeenCalledOnce()
  })

  it.each([undefined, Number.NaN, '10s'])('refuses a transport whose interval is %s', (intervalMs) => {
    const fleet = { ...memoryTransport(), intervalMs: intervalMs as number }
    expect(() => open({ fleet })).toThrow('Expected `fleet.intervalMs` to be a number')
  })

  it('does not list a process that leaves while it publishes', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    cleanups.push(() => vi.useRealTimers())
    const transport = memoryTransport()
    const monitor = member('me', transport, 10)
    // The numbers are encoded in the thread pool meanwhile.
    vi.advanceTimersByTime(transport.intervalMs / 2)
    await monitor.close()
    await sleep(50)
    expect(transport.members).toEqual([])
  })

  it('leaves once, however often it is closed: the client of the transport may be closed by then', async () => {
    const transport = memoryTransport()
    const remove = vi.spyOn(transport, 'remove')
    const warn = vi.fn()
    const monitor = member('me', transport, 10, warn)
    await Promise.all([monitor.close(), monitor.close()])
    expect(remove).toHaveBeenCalledOnce()

    remove.mockRejectedValue(new Error('The client is closed'))
    await monitor.close()
    expect(warn).not.toHaveBeenCalled()
  })

  it('is this process alone when there is no transport', async () => {
    const monitor = new PerformanceMonitor({ instance: 'me', sampleInterval: false })
    monitor.record('GET', '/', 200, monitor.start())
    const { fleet, requests } = await monitor.fleetSnapshot()
    expect(fleet).toMatchObject({ instances: 1, stale: 0, members: [{ id: 'me', ageMs: 0, stale: false }] })
    expect(requests.count).toBe(1)
  })

  it('has members with more caches than endpoints', async () => {
    const transport = memoryTransport()
    const stats = () => ({ hits: 1, misses: 0, errors: 0, hitRate: 1, errorRate: 0, store: { state: 'off' } })
    const caches = { users: { stats }, orders: { stats }, prices: { stats } }
    const [me] = ['me', 'other'].map((instance) =>
      open({ instance, fleet: transport, sampleInterval: false, maxEndpoints: 1, caches }),
    )
    await transport.isPublished('other')
    expect((await me!.fleetSnapshot()).fleet).toMatchObject({ instances: 2, rejected: 0 })
  })

  it('lists a silent member as stale, leaves it out, and counts foreign bytes', async () => {
    const transport = memoryTransport()
    const monitor = member('me', transport, 10)
    member('old', transport, 1_000)
    await transport.isPublished('old')
    transport.members.push({ id: 'nonsense', ageMs: 0, bytes: Buffer.from('nonsense') })
    expect((await monitor.fleetSnapshot()).requests.count).toBe(200)
    const silent = transport.members.find(({ id }) => id === 'old')!
    transport.members[transport.members.indexOf(silent)] = { ...silent, ageMs: 151 }
    const { fleet, requests } = await monitor.fleetSnapshot()
    expect(requests.count).toBe(100)
    expect(fleet).toMatchObject({ instances: 2, stale: 1, rejected: 1 })
    expect(fleet?.members[1]).toEqual({
      id: 'old',
      release: null,
      ageMs: 151,
      stale: true,
      cpuPercent: null,
      memoryPercent: null,
      inFlight: null,
    })
  })

  it.each([
    ['an hour behind', -3_600_000],
    ['an hour ahead', 3_600_000],
    ['like its own', 0],
  ])('shows what a member did whose clock is %s', async (_what, skewMs) => {
    const transport = memoryTransport()
    const start = 1_700_000_000_000
    const monitors = ['me', 'other'].map((instance, index) => {
      const clock = { now: start + index * skewMs }
      const monitor = open({ instance, fleet: transport, sampleInterval: false, clock: () => clock.now })
      for (let slice = 0; slice < 6; slice++) {
        for (let count = 0; count <= slice; count++) monitor.record('GET', '/work', 200, clock.now - 10)
        clock.now += 5_000
      }
      return monitor
    })
    await transport.isPublished('other')
    const { history, endpoints } = await monitors[0]!.fleetSnapshot({ history: true })
    expect(history?.map(({ at, count }) => [Date.parse(at), count])).toEqual(
      [0, 1, 2, 3, 4, 5].map((slice) => [start + slice * 5_000, 2 * (slice + 1)]),
    )
    expect(endpoints.map(({ lastSeen }) => Date.parse(lastSeen))).toEqual([start + 25_000])
  })

  it('costs the numbers of the others when its transport fails or hangs, never an error', async () => {
    const warn = vi.fn()
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    cleanups.push(() => vi.useRealTimers())
    for (const collect of [() => Promise.reject(new Error('gone')), () => new Promise<never>(() => {})]) {
      const transport = { ...memoryTransport(), collect, publish: () => Promise.reject(new Error('gone')) }
      const monitor = member('me', transport, 10, warn)
      const read = monitor.fleetSnapshot()
      await vi.advanceTimersByTimeAsync(5_000)
      const { requests, fleet } = await read
      expect(requests.count).toBe(100)
      expect(fleet?.instances).toBe(1)
    }
    expect(warn).toHaveBeenCalledWith({ code: 'MONITOR_FLEET', message: 'The fleet cannot be reached: gone' })
  })

  it('asks a transport that hangs no more than three times, and leaves it in time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    cleanups.push(() => vi.useRealTimers())
    const isAsked = vi.fn(() => promise)
    const { promise, resolve } = Promise.withResolvers<never>()
    const monitor = member('me', { ...memoryTransport(), collect: isAsked, publish: isAsked, remove: isAsked }, 10)
    for (let round = 0; round < 20; round++) {
      void monitor.fleetSnapshot()
      await vi.advanceTimersByTimeAsync(6_000)
    }
    expect(isAsked.mock.calls.length).toBeLessThanOrEqual(4)
    resolve([] as never)
    await vi.advanceTimersByTimeAsync(0)
    isAsked.mockReturnValue(new Promise<never>(() => {}))
    let isClosed = false
    void monitor.close().then(() => {
      isClosed = true
    })
    await vi.advanceTimersByTimeAsync(5_000)
    expect(isClosed).toBe(true)
    // It is closed once more after the test.
    isAsked.mockResolvedValue([] as never)
  })

  it('has no more endpoints than one process may have', async () => {
    const transport = memoryTransport()
    const [first, second] = ['a', 'b'].map((name) => {
      const monitor = open({ instance: name, fleet: transport, maxEndpoints: 3 })
      for (let number = 0; number < 3; number++) monitor.record('GET', `/${name}/${number}`, 200, monitor.start())
      return monitor
    })
    await transport.isPublished('b')
    expect(second).toBeDefined()
    const { endpoints } = await first!.fleetSnapshot()
    expect(endpoints.map(({ route, total }) => `${route} ${total}`).sort()).toEqual([
      '(overflow) 3',
      '/a/0 1',
      '/a/1 1',
      '/a/2 1',
    ])
  })
})

describe('numbers of a fleet', () => {
  it('are the sums of caches of the same name, in the worst of their states', async () => {
    const transport = memoryTransport()
    const watching = (instance: string, states: Record<string, string>) => {
      let hits = 0
      const caches = Object.entries(states).map(([name, state]) => {
        const stats = () => ({ hits, misses: 0, errors: 0, hitRate: 0, errorRate: 0, store: { state } })
        return [name, { stats }] as const
      })
      const monitor = open({ instance, fleet: transport, sampleInterval: false, caches: Object.fromEntries(caches) })
      hits = 3
      return monitor
    }
    const monitor = watching('a', { users: 'up', reports: 'down', own: 'up' })
    watching('b', { users: 'degraded', reports: 'up' })
    await transport.isPublished('b')
    const { cache } = await monitor.fleetSnapshot()
    expect(Object.entries(cache).map(([name, { hits, state }]) => [name, hits, state])).toEqual([
      ['users', 6, 'degraded'],
      ['reports', 6, 'down'],
      ['own', 3, 'up'],
    ])
  })

  it('have no more timings than one process may have', async () => {
    const transport = memoryTransport()
    const [first] = ['a', 'b'].map((name) => {
      const monitor = open({ instance: name, fleet: transport, sampleInterval: false, maxEndpoints: 2 })
      for (const timing of ['both', name]) monitor.recordTiming(timing, 5)
      return monitor
    })
    await transport.isPublished('b')
    const { timings } = await first!.fleetSnapshot()
    expect(Object.entries(timings).map(([name, { count }]) => `${name} ${count}`)).toEqual([
      'both 2',
      'a 1',
      '(overflow) 1',
    ])
  })

  it('are not published again while the last time still lasts', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    cleanups.push(() => vi.useRealTimers())
    const published = Promise.withResolvers<void>()
    const going = Promise.withResolvers<void>()
    const publish = vi.fn(() => {
      published.resolve()
      return going.promise
    })
    member('me', { ...memoryTransport(), publish }, 10)
    vi.advanceTimersByTime(25)
    await published.promise
    vi.advanceTimersByTime(500)
    expect(publish).toHaveBeenCalledOnce()
    going.resolve()
  })
})

describe('publications', () => {
  const layout = new BucketLayout(2)
  const limits = { layout, windowMs: 300_000, maxEndpoints: 500 }

  it('come back as they went in', async () => {
    const publication = samplePublication(layout)
    const families: MetricFamily[] = [
      {
        name: 'a_total',
        type: 'counter',
        help: 'A',
        created: 1.5,
        samples: [{ suffix: '', labels: { a: 'b' }, value: 3 }],
      },
      { name: 'b', type: 'gauge', help: 'A', created: undefined, samples: [{ suffix: '', labels: {}, value: -0.5 }] },
      { name: 'c', type: 'info', help: '', created: undefined, samples: [] },
    ]
    const { metrics, ...decoded } = await decodePublication(
      await encodePublication(publication, limits, families),
      limits,
    )
    expect(unpacked(decoded)).toEqual(unpacked(publication))
    expect(decodeFamilies(metrics)).toEqual(families)
  })

  it('have metrics that are checked, whatever the bytes are', async () => {
    const samples = ['1', '2'].map((le) => ({ suffix: '_bucket', labels: { le }, value: 1 }))
    const bytes = await encodeFamilies([{ name: 'a', type: 'histogram', help: 'A', samples }])
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (place, byte) => {
        const changed = Uint8Array.from(bytes)
        changed[place] = byte
        try {
          for (const { name, samples } of decodeFamilies(changed)) {
            expect(name).toMatch(/^[a-zA-Z_]\w*$/)
            for (const { value } of samples) expect(Number.isFinite(value)).toBe(true)
          }
        } catch (error) {
          expect([RangeError, TypeError]).toContain((error as Error).constructor)
        }
      }),
      { numRuns: Number(process.env.RUNS ?? 200) },
    )
  })

  it('stay packed in memory: a hostile one cannot unfold into gigabytes', async () => {
    const endpoint = samplePublication(layout).reading.endpoints[1]!
    const { reading, ...rest } = samplePublication(layout)
    const endpoints = Array.from({ length: 501 }, (_, number) => ({ ...endpoint, route: `/${number}` }))
    const bytes = await encodePublication({ ...rest, reading: { ...reading, endpoints } }, limits)
    const before = process.memoryUsage().arrayBuffers
    const decoded = await Promise.all(Array.from({ length: 20 }, () => decodePublication(bytes, limits)))
    expect(decoded).toHaveLength(20)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1_024 * 1_024)
  })

  it('of another precision, window or size are refused', async () => {
    const bytes = await encodePublication(samplePublication(layout), limits)
    await expect(decodePublication(bytes, { ...limits, layout: new BucketLayout(3) })).rejects.toThrow('another kind')
    await expect(decodePublication(bytes, { ...limits, windowMs: 60_000 })).rejects.toThrow('another kind')
    await expect(decodePublication(bytes, { ...limits, maxEndpoints: 0 })).rejects.toThrow()
    await expect(decodePublication(new Uint8Array(5_000_000), limits)).rejects.toThrow('too large')
  })

  it('have the metrics of ten thousand endpoints with three statuses each', async () => {
    const bounds = Array.from({ length: 17 }, (_, place) => String(place))
    const samples = Array.from({ length: 30_000 }, (_, number) =>
      bounds.map((le) => ({ suffix: '_bucket', labels: { http_route: `/route/${number}`, le }, value: number })),
    ).flat()
    const family: MetricFamily = { name: 'durations', type: 'histogram', help: 'Durations', samples }
    const bytes = await encodePublication(samplePublication(layout), limits, [family])
    const [decoded] = decodeFamilies((await decodePublication(bytes, limits)).metrics)
    expect([...decoded!.samples]).toHaveLength(samples.length)
  })

  it.each([
    ['packed', () => randomBytes(1_000).toString('base64')],
    ['unpacked', (_: unknown, number: number) => `${number}`.padEnd(4_000, 'x')],
  ])('that would be too large %s are not sent', async (_what, nameOf) => {
    const { reading, ...rest } = samplePublication(layout)
    const row = reading.caches.main!
    const names = Array.from({ length: 5_000 }, nameOf)
    const caches = Object.fromEntries(names.map((name) => [name, row]))
    await expect(encodePublication({ ...rest, reading: { ...reading, caches } }, limits)).rejects.toThrow('too large')
  })

  it('that go on after their end are refused', async () => {
    const whole = inflateRawSync(await encodePublication(samplePublication(layout), limits))
    const longer = deflateRawSync(Buffer.concat([whole, Buffer.of(0)]))
    await expect(decodePublication(longer, limits)).rejects.toThrow('goes on after its end')
  })

  it('with a number of endless digits are refused', async () => {
    const whole = inflateRawSync(await encodePublication(samplePublication(layout), limits))
    const place = 36
    expect(whole[place]).toBe(samplePublication(layout).reading.inFlight)
    const digits = Buffer.of(0x80 | 3, ...new Array(200).fill(0x80), 0)
    const endless = Buffer.concat([whole.subarray(0, place), digits, whole.subarray(place + 1)])
    await expect(decodePublication(deflateRawSync(endless), limits)).rejects.toThrow('larger than it may be')
  })

  it('that are damaged are refused or harmless, whatever the damage', async () => {
    const whole = inflateRawSync(await encodePublication(samplePublication(layout), limits))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        // Numbers that most sums and quotients leave the range with.
        fc.array(fc.tuple(fc.nat(whole.length - 8), fc.constantFrom(0, 5e-324, 1e-300, 0.5, 1e300, Infinity, NaN)), {
          maxLength: 2,
        }),
        fc.nat(whole.length),
        async (edits, numbers, length) => {
          const damaged = Buffer.from(whole)
          for (const [place, byte] of edits.slice(numbers.length === 0 ? 0 : edits.length)) damaged[place] = byte
          for (const [place, number] of numbers) damaged.writeDoubleBE(number, place)
          const publication = await decodePublication(
            deflateRawSync(damaged.subarray(0, length % 3 === 0 ? length : undefined)),
            limits,
          ).catch(() => undefined)
          for (const { windows, lastSeen } of publication?.reading.endpoints ?? []) {
            const tally = new Tally(endpointWidth(layout), layout).addAll(windows)
            expect(
              Object.values(tally.latency())
                .flat()
                .every((value) => value === null || Number.isFinite(value)),
            ).toBe(true)
            expect(new Date(lastSeen).toISOString()).toBeTypeOf('string')
          }
        },
      ),
      { numRuns: Number(process.env.PROPERTY_RUNS ?? 300) },
    )
  })
})

describe.skipIf(!services.redis)('a fleet through Redis', () => {
  it('is exact for the living, and lists the dead', async () => {
    const namespace = randomUUID()
    const redis = new Redis(services.redis!)
    const transport = redisFleet(redis, { namespace, interval: '200ms' })
    cleanups.push(() => redis.del(`{posthaste:${namespace}}:fleet`).then(() => redis.quit()))
    const monitor = member('watcher', transport, 100)
    const [killed, leaving] = await Promise.all([
      startMember(namespace, 'killed', 1_000),
      startMember(namespace, 'leaving', 10),
    ])
    const all = await until(monitor, ({ requests }) => requests.count === 300)
    expect(all.requests.latencyMs.p50).toBeCloseTo(100, -1)
    expect(all.requests.latencyMs.p95).toBeCloseTo(1_000, -1)
    expect(all.fleet).toMatchObject({ instances: 3, stale: 0, rejected: 0 })
    expect(all.fleet?.members.every(({ id, release }) => id === 'watcher' || release === '1.0')).toBe(true)

    killed.kill('SIGKILL')
    const rest = await until(monitor, ({ requests, fleet }) => requests.count === 200 && fleet?.stale === 1)
    expect(rest.requests.latencyMs.max).toBeCloseTo(100, -1)
    expect(rest.fleet?.members.find(({ id }) => id === 'killed')).toMatchObject({ stale: true })

    leaving.send('leave')
    await once(leaving, 'exit')
    const left = await monitor.fleetSnapshot()
    expect(left.fleet?.members.map(({ id }) => id)).toEqual(['watcher', 'killed'])
  })

  it('works with either client', async () => {
    const namespace = randomUUID()
    const [ioredis, nodeRedis] = [new Redis(services.redis!), createClient({ url: services.redis! })]
    await nodeRedis.connect()
    cleanups.push(
      () => nodeRedis.close(),
      () => ioredis.quit(),
    )
    const [one, other] = [redisFleet(ioredis, { namespace }), redisFleet(nodeRedis, { namespace })]
    const bytes = Uint8Array.from([0, 255, 10, 13, 128])
    await other.publish('x', bytes)
    for (const transport of [one, other]) {
      const [member] = await transport.collect()
      expect(member).toMatchObject({ id: 'x', bytes: Buffer.from(bytes) })
      expect(member!.ageMs).toBeLessThan(5_000)
    }
    await one.remove('x')
    expect(await other.collect()).toEqual([])
  })

  it('takes what else stands in its hash for a member that is long gone', async () => {
    const namespace = randomUUID()
    const redis = new Redis(services.redis!)
    const key = `{posthaste:${namespace}}:fleet`
    cleanups.push(() => redis.del(key).then(() => redis.quit()))
    const transport = redisFleet(redis, { namespace })
    await redis.hset(key, 'stranger', 'nonsense')
    const [stranger, ...others] = await transport.collect()
    expect(others).toEqual([])
    expect(stranger).toMatchObject({ id: 'stranger', bytes: Buffer.alloc(0) })
    expect(stranger!.ageMs).toBeGreaterThan(1e12)
    await transport.publish('me', Uint8Array.of(1))
    expect((await transport.collect()).map(({ id }) => id)).toEqual(['me'])
  })

  it('does not take the dead for living when the clock of Redis was set back', async () => {
    const namespace = randomUUID()
    const redis = new Redis(services.redis!)
    const key = `{posthaste:${namespace}}:fleet`
    cleanups.push(() => redis.del(key, `${key}:times`).then(() => redis.quit()))
    const transport = redisFleet(redis, { namespace })
    const publishAt = async (id: string, at: number) => {
      await redis.hset(key, id, `${at} AQ==`)
      await redis.zadd(`${key}:times`, at, id)
    }
    await publishAt('minute', Date.now() + 60_000)
    await publishAt('day', Date.now() + 86_400_000)
    const ages = (await transport.collect()).map(({ id, ageMs }) => [id, ageMs > 30_000])
    expect(Object.fromEntries(ages)).toEqual({ minute: true, day: true })
    await transport.publish('me', Uint8Array.of(1))
    expect((await transport.collect()).map(({ id }) => id).sort()).toEqual(['me', 'minute'])
    await transport.publish('minute', Uint8Array.of(1))
    expect((await transport.collect()).every(({ ageMs }) => ageMs < 5_000)).toBe(true)
  })

  it('does not know any other client', () => {
    expect(() => redisFleet({} as never)).toThrow(/of ioredis or node-redis/)
  })
})

describe('a fleet of cluster workers', () => {
  it('is the same from each of them, and lists who was killed', async () => {
    const program = fileURLToPath(new URL('./fixtures/cluster-fleet.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 30_000 })
    const [primary, fast, slow, after] = JSON.parse(stdout) as StatsDocument[]
    for (const { requests, fleet } of [primary!, fast!, slow!]) {
      expect(requests.count).toBe(200)
      expect(requests.latencyMs.p50).toBeCloseTo(10, 0)
      expect(requests.latencyMs.p95).toBeCloseTo(1_000, -1)
      expect(fleet).toMatchObject({ instances: 3, stale: 0 })
    }
    expect(after!.requests.count).toBe(100)
    expect(after!.fleet?.members.find(({ id }) => id === 'worker 1000')).toMatchObject({ stale: true })
  })

  it('keeps nothing of workers that do not answer, and outlives one that has just died', async () => {
    const program = fileURLToPath(new URL('./fixtures/cluster-strangers.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', program], { timeout: 60_000 })
    const [bytes, wasConnected, state] = stdout.split(' ')
    expect(Number(bytes)).toBeLessThan(300)
    expect([wasConnected, state]).toEqual(['true', 'alive'])
  }, 90_000)
})

/** A transport in this process that says when somebody has published. */
function memoryTransport() {
  const members: FleetMember[] = []
  const transport = {
    intervalMs: 50,
    members,
    async publish(id: string, bytes: Uint8Array) {
      await transport.remove(id)
      members.push({ id, ageMs: 0, bytes })
    },
    async remove(id: string) {
      const place = members.findIndex((member) => member.id === id)
      if (place >= 0) members.splice(place, 1)
    },
    collect: async () => [...members],
    async close() {},
    async isPublished(id: string) {
      await vi.waitFor(() => expect(members.map((member) => member.id)).toContain(id), 10_000)
    },
  }
  return transport satisfies FleetTransport
}

function open(options: ConstructorParameters<typeof PerformanceMonitor>[0]): PerformanceMonitor {
  const monitor = new PerformanceMonitor(options)
  cleanups.push(() => monitor.close())
  return monitor
}

function member(instance: string, fleet: FleetTransport, ms: number, onWarn = vi.fn()): PerformanceMonitor {
  const now = 1.7e12
  const monitor = open({ instance, fleet, sampleInterval: false, onWarn, clock: () => now })
  for (let count = 0; count < 100; count++) monitor.record('GET', '/work', 200, now - ms)
  return monitor
}

async function startMember(namespace: string, instance: string, ms: number): Promise<ChildProcess> {
  const program = new URL('./fixtures/fleet-member.ts', import.meta.url)
  const child = fork(program, [services.redis!, namespace, instance, String(ms)])
  cleanups.push(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return child
}

async function until(monitor: PerformanceMonitor, holds: (document: StatsDocument) => boolean): Promise<StatsDocument> {
  const deadline = performance.now() + 15_000
  for (;;) {
    const document = await monitor.fleetSnapshot()
    if (holds(document)) return document
    if (performance.now() > deadline) throw new Error(`Never happened: ${JSON.stringify(document.fleet)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function samplePublication(layout: BucketLayout): Publication {
  const window: WindowReading = {
    addTo(tally) {
      for (const us of [1, 10, 12_345, 4_294_967_295]) tally.counters[layout.indexOf(us)]! += 1_000
      tally.addSums(Float64Array.from([4_000, 1e9, 1e14, 1, 4_294_967_295, 3_000, 1e6, 5e8, 0, 2e6, 0.5]))
      const correction = new StallCorrection()
      correction.move(3, 300, 400)
      tally.addCorrection(correction)
    },
  }
  return {
    release: '2.1',
    cpuPercent: 12.5,
    memoryPercent: null,
    reading: {
      endpoints: [
        {
          method: 'GET',
          route: '/users/:id',
          total: 5_000_000_000,
          lastSeen: 1.7e12 + 0.5,
          windows: [window],
        },
        {
          method: '_OTHER',
          route: '(overflow)',
          total: 0,
          lastSeen: 0,
          windows: [],
        },
      ],
      timings: new Map([['db.query', [window]]]),
      caches: { main: { hits: 3, misses: 1, errors: 0, hitRate: 0.75, errorRate: 0, state: 'up' } },
      inFlight: 3,
      oldestMs: 1_500,
      coveredMs: 300_000,
      history: [
        { startMs: 1.7e12, windows: [window], gauges: [] },
        {
          startMs: 1.7e12 + 5_000,
          windows: [],
          gauges: [
            {
              inFlight: 3,
              cpuPercent: 12.5,
              memoryPercent: 40,
              utilization: null,
              delayP99Ms: 1.5,
              delayMaxMs: null,
            },
          ],
        },
      ],
      historyEndMs: 1.7e12 + 10_000,
      overflow: 0,
      clamped: 2,
    },
  }
}

/** A publication with its numbers in tallies, to be compared. */
function unpacked({ reading, ...rest }: Publication) {
  const layout = new BucketLayout(2)
  const { endpoints, timings, history, ...others } = reading
  return {
    ...rest,
    ...others,
    endpoints: endpoints.map(({ windows, ...endpoint }) => [
      endpoint,
      new Tally(endpointWidth(layout), layout).addAll(windows),
    ]),
    timings: [...timings].map(([name, windows]) => [name, new Tally(layout.length, layout).addAll(windows)]),
    history: history.map(({ windows, ...slice }) => [slice, new Tally(endpointWidth(layout), layout).addAll(windows)]),
  }
}
