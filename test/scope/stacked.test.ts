import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import type express5 from 'express'
import { SqliteDialect } from 'kysely'
import { type Cache, createCache, instrument, nodeSqlite, PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { answering, ask, type Installation } from '../support/answering.ts'
import { seed } from '../support/seed.ts'
import { services } from '../support/services.ts'
import { until } from '../support/until.ts'
import { pick, randomFrom } from './support/random.ts'
import { askAndLeave } from './support/servers.ts'

const type = 'text/plain; charset=utf-8'
const rounds = Number(process.env.RUNS ?? 60)
const paths = ['/a', '/b', '/c'] as const

const options = { tags: 'auto' } as const

/** Everything at once; what comes first of `freshness` and `cacheResponses` is around the other. */
function install(monitor: PerformanceMonitor, cache: Cache, isFreshnessFirst: boolean): Installation {
  const order = <Item>(check: Item, store: Item) => (isFreshnessFirst ? [check, store] : [store, check])
  const [first, second] = order(onHono.freshness(cache, options), onHono.cacheResponses(cache, options))
  return {
    express: (app) => void app.use(onExpress.monitorRequests(monitor), onExpress.compressResponses() as never),
    async fastify(app) {
      await app.register(onFastify.monitorRequests, { monitor })
      await app.register(onFastify.compressResponses, {})
      if (isFreshnessFirst) await app.register(onFastify.freshness, { cache })
      await app.register(onFastify.cacheResponses, { cache })
      if (!isFreshnessFirst) await app.register(onFastify.freshness, { cache })
    },
    hono(app) {
      app.onError((error, c) => c.text(error.message, 500))
      app.use(onHono.monitorRequests(monitor), onHono.compressResponses(), first as never)
    },
    route: {
      express: order<unknown>(
        onExpress.freshness(cache, options),
        onExpress.cacheResponses(cache, options),
      ) as unknown as express5.RequestHandler,
      fastify: { cache: options, freshness: options },
      hono: second as never,
    },
  }
}

describe.each(Object.entries(answering))('everything at once on %s', (_name, start) => {
  it.each([true, false])(`answers as the handler alone (\`freshness\` first: %s, seed ${seed})`, async (isFirst) => {
    // From now on, a handler without tags is one that reads nothing, and loads end with those that wait for them.
    const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
    instrument({ dialect }, { abandon: 'cancel' })
    const random = randomFrom(seed)
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const redis = services.redis && { redis: services.redis, namespace: `stacked-${randomUUID()}` }
    const cache = createCache({ ...redis }) as unknown as Cache
    const versions = new Map<string, number>(paths.map((path) => [path, 0]))
    const versionOf = (path: string) => versions.get(path) as number
    const textOf = (path: string, version = versionOf(path)) => `${path} of version ${version} `.repeat(100)
    const read = (path: string) => cache.getOrSet(path, () => Promise.resolve(versionOf(path)), { tags: [path] })
    const { port, close } = await start(
      async ({ url }) => {
        const body = textOf(url, await read(url))
        await sleep(random() * 3)
        return { body, headers: { 'content-type': type } }
      },
      install(monitor, cache, isFirst),
    )
    onTestFinished(async () => {
      await close()
      await cache.close()
      await monitor.close()
    })
    const textsByTag = new Map<string, string>()
    let [answered, left] = [0, 0]
    const exchange = async () => {
      const path = pick(paths, random)
      if (random() < 0.2) {
        left += 1
        return askAndLeave(`http://127.0.0.1:${port}${path}`, sleep(random() * 4))
      }
      const method = pick(['GET', 'GET', 'HEAD'], random)
      const known = pick(['"none"', ...textsByTag.keys()], random)
      const headers = { 'accept-encoding': pick(['gzip', 'identity'], random), 'if-none-match': known }
      const answer = await ask(port, { method, path, headers })
      answered += 1
      const { etag = '', 'content-encoding': coding } = answer.headers
      if (answer.status === 304) return expect([path, textsByTag.get(known)]).toEqual([path, textOf(path)])
      expect([answer.status, answer.headers['content-type']]).toEqual([200, type])
      const body = coding === 'gzip' && method === 'GET' ? gunzipSync(answer.body) : answer.body
      expect([path, String(body)]).toEqual([path, method === 'HEAD' ? '' : textOf(path)])
      if (etag !== '') textsByTag.set(etag, textOf(path))
    }
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: 1 + Math.floor(random() * 5) }, exchange))
      if (random() < 0.5) continue
      const path = pick(paths, random)
      versions.set(path, versionOf(path) + 1)
      await cache.invalidateTags(path)
    }
    await until(() => monitor.snapshot().requests.inFlight === 0)
    const { count, aborted } = monitor.snapshot().requests
    expect(count + aborted).toBeGreaterThanOrEqual(answered)
    expect(count + aborted).toBeLessThanOrEqual(answered + left)
  })
})
