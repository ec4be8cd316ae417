import { createServer } from 'node:http'
import express from 'express'
import express4 from 'express4'
import { type CacheOptions, createCache, PerformanceMonitor, requestScope } from 'posthaste'
import { cacheResponses, monitorRequests, shedLoad } from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { listen } from '../../support/listen.ts'

/** As session stores do: it adds a cookie when the head is sent. */
const withCookie: express.RequestHandler = (_request, response, next) => {
  const { writeHead } = response
  response.writeHead = (...args: unknown[]) => {
    response.setHeader('set-cookie', 'session=new')
    return writeHead.apply(response, args as never)
  }
  next()
}

/** As minifiers and live reload do: it changes the body when it is sent. */
const withMark: express.RequestHandler = (_request, response, next) => {
  const { end } = response
  response.end = (chunk: unknown, ...rest: unknown[]) => {
    response.removeHeader('content-length')
    return end.apply(response, [`${chunk}!`, ...rest] as never)
  }
  next()
}

describe.each<[version: string, create: () => express.Express]>([
  ['Express 4', express4 as unknown as () => express.Express],
  ['Express 5', express],
])('a stale answer on %s', (_version, create) => {
  it.each<[what: string, middleware: express.RequestHandler]>([
    ['adds a cookie to the head', withCookie],
    ['changes the body', withMark],
  ])('is renewed behind a middleware that %s', async (_what, middleware) => {
    let now = 1_000
    const cache = createCache({ profiles: { default: { ttl: '1m', stale: '10m' } }, clock: () => now })
    let runs = 0
    const app = create().use(middleware)
    app.get('/', cacheResponses(cache), (_request, response) => void response.end(`run ${++runs}`))
    onTestFinished(() => cache.close())
    const port = await listen(createServer(app))
    const get = async () => {
      const response = await fetch(`http://127.0.0.1:${port}`)
      return [await response.text(), response.headers.get('cache-status'), response.headers.get('set-cookie')]
    }
    const [body = '', , cookie] = await get()
    for (let renewals = 1; renewals <= 3; renewals++) {
      now += 90_000
      const hit = (run: number) => [body?.replace('1', String(run)), 'posthaste; hit', cookie]
      expect(await get()).toEqual(hit(renewals))
      await expect.poll(get).toEqual(hit(renewals + 1))
    }
    expect(runs).toBe(4)
  })

  it.each<[way: string, path: string, mount: (outer: express.Express, inner: express.Express) => void]>([
    ['mounts', '/users', (outer, inner) => outer.use(inner)],
    ['calls in a function, as vhost does,', '/users', (outer, inner) => outer.use((...call) => inner(...call))],
    ['calls in a function of a path', '/api/users', (outer, inner) => outer.use('/api', (...call) => inner(...call))],
    ['calls on a route', '/users', (outer, inner) => void outer.get('/users', (...call) => inner(...call))],
    [
      'calls in another one',
      '/a/b/users',
      (outer, inner) => outer.use('/a', (...call) => create().use('/b', (...inside) => inner(...inside))(...call)),
    ],
  ])('of an application that another one %s is renewed behind the middleware of both', async (_way, path, mount) => {
    let now = 1_000
    const cache = createCache({ profiles: { default: { ttl: '1m', stale: '10m' } }, clock: () => now })
    const [outer, inner] = [create(), create()]
    let runs = 0
    outer.use((request, _response, next) => {
      Object.assign(request, { language: 'de' })
      next()
    })
    mount(outer, inner)
    inner.get('/users', cacheResponses(cache), (request, response) => {
      response.send(`run ${++runs} in ${(request as { language?: string }).language}`)
    })
    onTestFinished(() => cache.close())
    const port = await listen(createServer(outer))
    const get = async () => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`)
      return [await response.text(), response.headers.get('cache-status')]
    }
    await get()
    for (let renewals = 1; renewals <= 2; renewals++) {
      now += 90_000
      expect(await get()).toEqual([`run ${renewals} in de`, 'posthaste; hit'])
      await expect.poll(() => runs).toBe(renewals + 1)
      await expect.poll(get).toEqual([`run ${renewals + 1} in de`, 'posthaste; hit'])
    }
  })

  it('is renewed without a word in the statistics of requests', async () => {
    let now = 1_000
    const cache = createCache({ profiles: { default: { ttl: '1m', stale: '10m' } }, clock: () => now })
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    let runs = 0
    const app = create().use(monitorRequests(monitor), shedLoad(monitor, { concurrency: 10 }))
    app.get('/', cacheResponses(cache), (_request, response) => {
      runs++
      response.end(`scope ${requestScope() !== undefined}`)
    })
    onTestFinished(() => cache.close())
    onTestFinished(() => monitor.close())
    const port = await listen(createServer(app))
    for (let renewals = 1; renewals <= 3; renewals++) {
      await fetch(`http://127.0.0.1:${port}`).then((response) => response.text())
      await expect.poll(() => runs).toBe(renewals)
      await expect.poll(() => monitor.admission()).toMatchObject({ limits: [{ inFlight: 0 }] })
      now += 90_000
    }
    expect(monitor.snapshot().requests).toMatchObject({ total: 3, inFlight: 0 })
  })

  /** Serves an answer that was stored, and has become stale since. The handler is told whether it renews it. */
  async function becomesStale(
    handler: (response: express.Response, isRenewing: boolean) => void,
    options: CacheOptions = {},
  ) {
    let now = 1_000
    const cache = createCache({ ...options, profiles: { default: { ttl: '1m', stale: '10m' } }, clock: () => now })
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const app = create().use(monitorRequests(monitor), shedLoad(monitor, { concurrency: 10 }))
    app.get('/', cacheResponses(cache), (_request, response) => handler(response, now > 1_000))
    onTestFinished(() => cache.close())
    onTestFinished(() => monitor.close())
    const port = await listen(createServer(app))
    const get = () => fetch(`http://127.0.0.1:${port}`).then((response) => response.text())
    await get()
    now += 90_000
    return { monitor, get }
  }

  it('whose handler breaks off its answer in the background is counted once when it ends', async () => {
    let brokenOff = 0
    const { monitor, get } = await becomesStale((response, isRenewing) => {
      if (!isRenewing) return void response.end('whole')
      response.write('half')
      response.once('close', () => brokenOff++)
      response.destroy()
    })

    expect(await get()).toBe('whole')
    await expect.poll(() => brokenOff).toBe(1)
    expect(await get()).toBe('whole')
    expect(monitor.admission()).toMatchObject({ inFlight: 0 })
    expect(brokenOff).toBe(1)
  })

  it('whose handler never answers again is not in flight for ever', async () => {
    const closed: boolean[] = []
    const { monitor, get } = await becomesStale(
      (response, isRenewing) => {
        if (isRenewing) response.once('close', () => closed.push(response.writableEnded))
        else response.end('the only answer')
      },
      { timeouts: { loadHard: '100ms' } },
    )

    expect(await get()).toBe('the only answer')
    await expect.poll(() => closed).toEqual([false])
    expect(monitor.admission()).toMatchObject({ inFlight: 0 })
    expect(await get()).toBe('the only answer')
    expect(monitor.snapshot().requests).toMatchObject({ total: 3, aborted: 0, inFlight: 0 })
  })
})
