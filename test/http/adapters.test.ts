import { once } from 'node:events'
import { request as send } from 'node:http'
import { PerformanceMonitor } from 'posthaste'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { frameworks, type Running } from '../support/frameworks.ts'

/** A request that may be given up: when a promise resolves, or at the first byte of the answer. */
function ask(
  port: number,
  method: string,
  path: string,
  giveUp?: Promise<unknown> | 'at first byte',
): Promise<number | 'given up'> {
  return new Promise((resolve) => {
    const request = send({ host: '127.0.0.1', port, method, path, agent: false }, (response) => {
      response.on('data', () => giveUp === 'at first byte' && request.destroy())
      response.on('close', () => resolve(response.complete ? (response.statusCode ?? 0) : 'given up'))
    })
    request.on('error', () => resolve('given up'))
    if (giveUp instanceof Promise) void giveUp.then(() => request.destroy())
    request.end()
  })
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate)
}

/** A WebSocket that is closed as soon as it is open. */
async function connect(port: number, path: string): Promise<number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`)
  const closed = once(socket, 'close')
  await once(socket, 'open')
  socket.close()
  await closed
  return 101
}

describe.each(Object.entries(frameworks))('on %s', (name, start) => {
  let monitor: PerformanceMonitor
  let server: Running

  beforeEach(async () => {
    monitor = new PerformanceMonitor({ sampleInterval: false })
    server = await start(monitor)
  })
  afterEach(async () => {
    await server.close()
    await monitor.close()
  })

  /** Resolves when nothing is in flight any more: the last `close` comes after the client has its answer. */
  async function settled(): Promise<ReturnType<PerformanceMonitor['snapshot']>> {
    await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)
    return monitor.snapshot({ limit: 1_000 })
  }

  it('labels every request with the pattern of its route, and keeps the outcomes apart', async () => {
    const { port } = server
    // Given up when it has arrived, and before another one is in flight.
    const arrived = until(() => monitor.snapshot().requests.inFlight === 1)
    const slow = ask(port, 'GET', '/slow', arrived)
    await arrived
    await Promise.all(
      [
        ...['/users/42', '/users/43?x=1', '/api/v1/acme/items/7', '/api/v1/globex/items/8', '/api/v1/acme/boom'],
        ...['/api/v1/acme/nope', '/wp-1.php?q=1', '/wp-2.php', '/.env'],
        ...['/private/1', '/admin/users', '/empty', '/unchanged', '/stream'],
      ]
        .map((path) => ask(port, 'GET', path))
        .concat([
          ask(port, 'HEAD', '/users/42'),
          ask(port, 'OPTIONS', '/users/42'),
          slow,
          ask(port, 'GET', '/stream', 'at first byte'),
          ask(port, 'GET', '/events', 'at first byte'),
          connect(port, '/live/1'),
        ]),
    )
    const { endpoints, requests } = await settled()

    const table = endpoints
      .map(
        ({ method, route, status, count, aborted, streams, upgrades }) =>
          `${method} ${route} ${JSON.stringify(status)} ${count}/${aborted}/${streams}/${upgrades}`,
      )
      .sort()
    expect(table).toEqual([
      'GET (unmatched) {"404":4} 4/0/0/0',
      'GET /admin/:page {"403":1} 1/0/0/0',
      'GET /api/v1/:tenant/boom {"500":1} 1/0/0/0',
      'GET /api/v1/:tenant/items/:id {"200":2} 2/0/0/0',
      'GET /empty {"204":1} 1/0/0/0',
      'GET /events {} 0/0/1/0',
      'GET /live/:id {} 0/0/0/1',
      'GET /private/:id {"401":1} 1/0/0/0',
      'GET /slow {} 0/1/0/0',
      'GET /stream {"200":1} 1/1/0/0',
      'GET /unchanged {"304":1} 1/0/0/0',
      'GET /users/:id {"200":2} 2/0/0/0',
      'HEAD /users/:id {"200":1} 1/0/0/0',
      'OPTIONS /users/:id {"200":1} 1/0/0/0',
    ])
    expect(requests).toMatchObject({ total: 20, aborted: 2, streams: 1, upgrades: 1 })
    const streamed = endpoints.find(({ route }) => route === '/stream')
    expect(streamed?.latencyMs.min).toBeGreaterThan(390)
  })

  it('answers statistics in the wire form, and leaves its own endpoints out', async () => {
    await ask(server.port, 'GET', '/users/1')
    await settled()
    monitor.markStarted()
    for (const path of [
      '/performance/stats',
      '/performance/metrics',
      '/health',
      '/health/live',
      '/health/ready',
      '/health/startup',
    ]) {
      expect((await fetch(server.url + path)).status, path).toBe(200)
    }
    const response = await fetch(`${server.url}/performance/stats`)
    expect(response.headers.get('content-type')).toMatch(/^application\/json/)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const stats = (await response.json()) as Record<string, never>
    expect(stats).toMatchObject({
      schema: 'posthaste.performance/1',
      scope: 'instance',
      requests: { total: 1, in_flight: 0, status: { '2xx': 1 } },
      endpoints: [{ method: 'GET', route: '/users/:id', status: { 200: 1 }, latency_ms: { p95: expect.any(Number) } }],
      fleet: null,
    })
  })

  it('counts nothing of what it is told to ignore, its own endpoints among it', async () => {
    await server.close()
    await monitor.close()
    monitor = new PerformanceMonitor({
      sampleInterval: false,
      ignore: (method, path) => method === 'GET' && ['/users/1', '/performance/stats'].includes(path),
    })
    server = await start(monitor)
    for (const path of ['/users/1', '/users/2', '/performance/stats', '/performance/metrics']) {
      expect(await ask(server.port, 'GET', path), path).toBe(200)
    }
    const { endpoints, requests } = await settled()
    expect(endpoints.map(({ route, total }) => `${route} ${total}`)).toEqual(['/users/:id 1'])
    expect(requests).toMatchObject({ total: 1, inFlight: 0 })
  })

  it('refuses a wrong parameter with a 400 that names it', async () => {
    for (const [query, parameter] of [
      ['sort=fastest', 'sort'],
      ['limit=0', 'limit'],
      ['limit=many', 'limit'],
      ['scope=world', 'scope'],
      ['format=xml', 'format'],
      ['format=hdr', 'route'],
    ]) {
      const response = await fetch(`${server.url}/performance/stats?${query}`)
      expect(response.status, query).toBe(400)
      expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/)
      expect(((await response.json()) as { detail: string }).detail, query).toContain(`\`${parameter}\``)
    }
  })

  it('negotiates the metrics format', async () => {
    await ask(server.port, 'GET', '/users/1')
    await settled()
    const text = await fetch(`${server.url}/performance/metrics`)
    expect(text.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await text.text()).toContain('http_route="/users/:id"')
    const open = await fetch(`${server.url}/performance/metrics`, {
      headers: { accept: 'application/openmetrics-text' },
    })
    expect(open.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
    expect((await open.text()).endsWith('# EOF\n')).toBe(true)
  })

  it('answers 503 with `Retry-After` when a critical check fails, and says why only to the authorised', async () => {
    monitor.check(
      'database',
      () => {
        throw new Error('connection refused at 10.0.0.5')
      },
      { failAfter: 1 },
    )
    const response = await fetch(`${server.url}/health`)
    expect(response.status).toBe(503)
    expect(response.headers.get('content-type')).toMatch(/^application\/health\+json/)
    expect(response.headers.get('retry-after')).toBe('5')
    const body = await response.text()
    expect(JSON.parse(body)).toMatchObject({
      status: 'fail',
      checks: { database: { status: 'fail', reason: 'failed' } },
    })
    expect(body).not.toContain('10.0.0.5')
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200)
  })

  it('answers a client’s mistake with a problem document', async () => {
    const response = await fetch(`${server.url}/bad`)
    expect(response.status).toBe(400)
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    const body = await response.text()
    expect(JSON.parse(body)).toMatchObject({ status: 400, code: 'ERR_BAD_INPUT', detail: '`page` is wrong' })
    expect(response.headers.get('content-length')).toBe(String(body.length))
  })

  it('answers HEAD like GET, without a body, and no other method', async () => {
    const head = await fetch(`${server.url}/performance/stats`, { method: 'HEAD' })
    expect(head.status).toBe(200)
    expect(await head.text()).toBe('')
    expect((await fetch(`${server.url}/performance/stats`, { method: 'POST' })).status).toBe(405)
  })

  describe('with a bearer token', () => {
    beforeEach(async () => {
      await server.close()
      server = await start(monitor, { authorize: { bearer: 'let-me-in' } })
    })

    it('refuses every other `Authorization`', async () => {
      for (const authorization of [undefined, 'Bearer wrong', 'Bearer ', 'Basic let-me-in', 'let-me-in']) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization }
        for (const path of ['/performance/stats', '/performance/metrics']) {
          const response = await fetch(server.url + path, { headers })
          expect(response.status, authorization).toBe(401)
          expect(response.headers.get('www-authenticate')).toBe('Bearer')
        }
        const health = await fetch(`${server.url}/health`, { headers })
        expect(await health.json()).toEqual({ status: 'pass' })
      }
    })

    it('lets the token in', async () => {
      const headers = { authorization: 'Bearer let-me-in' }
      expect((await fetch(`${server.url}/performance/stats`, { headers })).status).toBe(200)
      const health = (await (await fetch(`${server.url}/health`, { headers })).json()) as object
      expect(health).toHaveProperty('checks')
    })
  })

  it('takes other paths, no health routes, no metrics, and camelCase', async () => {
    await server.close()
    server = await start(monitor, { path: '/internal/perf', health: false, metrics: false, casing: 'camel' })
    const stats = (await (await fetch(`${server.url}/internal/perf/stats`)).json()) as { windowMs?: number }
    expect(stats.windowMs).toBe(300_000)
    for (const path of ['/internal/perf/metrics', '/health', '/performance/stats']) {
      expect((await fetch(server.url + path)).status, `${name} ${path}`).toBe(404)
    }
  })
})
