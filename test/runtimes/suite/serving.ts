import assert from 'node:assert/strict'
import { gunzipSync } from 'node:zlib'
import { Hono, type MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { compressJson, createCache, PerformanceMonitor, paginate } from 'posthaste'
import {
  answerErrors,
  cacheResponses,
  compressResponses,
  freshness,
  monitorRequests,
  performanceRoutes,
} from 'posthaste/hono'
import { test } from './suite.ts'

const monitor = new PerformanceMonitor({ service: 'runtimes', sampleInterval: '50ms' })

function createApp(measured: PerformanceMonitor): Hono {
  const app = new Hono()
  app.onError(answerErrors())
  app.use(monitorRequests(measured))
  app.use(performanceRoutes(measured, { authorize: 'public' }))
  app.use(compressResponses())
  app.get('/users/:id', (c) => c.json({ id: c.req.param('id'), text: 'compressible '.repeat(200) }))
  app.get('/pages', async (c) => c.json(await paginate({} as never, { unique: 'id' as never, page: 0 })))
  app.get('/fails', () => {
    throw new Error('broken on purpose')
  })
  app.get('/slow', async (c) => {
    await new Promise((resolve) => setTimeout(resolve, 500))
    return c.text('late')
  })
  return app
}

/** Waits until the condition holds: responses end a moment after their clients have them. */
async function until(isTrue: () => boolean): Promise<void> {
  for (let tries = 0; !isTrue(); tries++) {
    assert.ok(tries < 300, 'the condition did not become true')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

test('measures requests under the patterns of their routes', async ({ serve }) => {
  const server = await serve(createApp(monitor))
  try {
    await Promise.all(['a', 'b', 'c'].map(async (id) => (await server.fetch(`/users/${id}`)).text()))
    await (await server.fetch('/nowhere')).text()
    await until(() => monitor.endpoint('GET', '(unmatched)')?.count === 1)
    await until(() => monitor.endpoint('GET', '/users/:id')?.count === 3)
    const { requests, uptimeMs } = monitor.snapshot()
    assert.equal(requests.count, 4)
    assert.equal(requests.inFlight, 0)
    assert.ok((requests.latencyMs.p95 as number) < 10_000)
    assert.ok(uptimeMs >= 0 && uptimeMs < 600_000, `uptimeMs ${uptimeMs}`)
  } finally {
    await server.close()
  }
})

test('shows null for what the platform does not measure, never 0', async ({ name }) => {
  const { system, requests } = monitor.snapshot()
  const { cpu, memory, eventLoop, gc } = system
  const isNode = name.startsWith('node')
  const isWorkers = name === 'workers'
  if (isNode) await until(() => monitor.snapshot().system.eventLoop.utilization !== null)
  else assert.equal(eventLoop.utilization, null)
  assert.equal(gc === null, !isNode)
  assert.equal(eventLoop.stalls === null, isWorkers)
  assert.equal(memory.heapPercent === null, isWorkers || name === 'bun')
  for (const value of [memory.rssBytes, memory.workingSetBytes, memory.heapUsedBytes]) {
    assert.ok(isWorkers ? value === null : (value as number) > 0, `memory ${value}`)
  }
  // Deno runs without `--allow-sys`.
  const isOpen = isNode || name === 'bun'
  assert.ok(isOpen ? (memory.limitBytes as number) > 0 : memory.limitBytes === null)
  assert.equal(cpu.loadAverage === null, !isOpen)
  assert.ok(isWorkers ? cpu.limitCores === null : (cpu.limitCores as number) > 0)
  if (isWorkers) assert.deepEqual([system.cpuPercent, system.memoryPercent], [null, null])
  assert.ok(isNode || (requests.correctedMs?.p95 ?? null) === null, 'stalls are corrected on Node only')
  assert.doesNotMatch(JSON.stringify(monitor.snapshot()), /NaN|Infinity/)
})

test('serves statistics, metrics, health and the live page', async ({ serve }) => {
  const server = await serve(createApp(new PerformanceMonitor({ sampleInterval: false })))
  try {
    await (await server.fetch('/users/a')).text()
    const stats = (await (await server.fetch('/performance/stats')).json()) as { schema: string; requests: object }
    assert.equal(stats.schema, 'posthaste.performance/1')
    const metrics = await (await server.fetch('/performance/metrics')).text()
    assert.match(metrics, /http_server_request_duration_seconds_count/)
    assert.doesNotMatch(metrics, /NaN|undefined|null/)
    const health = (await (await server.fetch('/health')).json()) as { status: string }
    assert.equal(health.status, 'pass')
    assert.match(await (await server.fetch('/performance')).text(), /<html/)
  } finally {
    await server.close()
  }
})

test('counts a client that leaves as an abort', async ({ serve }) => {
  const own = new PerformanceMonitor({ sampleInterval: false })
  const server = await serve(createApp(own))
  try {
    const leaving = new AbortController()
    const answer = server.fetch('/slow', { signal: leaving.signal }).then(
      (response) => response.text(),
      () => undefined,
    )
    await until(() => own.inFlight === 1)
    leaving.abort()
    await answer
    await until(() => own.inFlight === 0)
    const { aborted, count } = own.endpoint('GET', '/slow') ?? {}
    assert.deepEqual({ aborted, count }, { aborted: 1, count: 0 })
  } finally {
    await server.close()
    await own.close()
  }
})

test('answers errors of clients with a problem document, and others as failures', async ({ serve }) => {
  const own = new PerformanceMonitor({ sampleInterval: false })
  const app = createApp(own)
  app.get('/after', async (c) => {
    const { createPaginator } = await import('posthaste')
    createPaginator()
    return c.text('x')
  })
  app.onError((error, c) => (c.req.path === '/fails' ? c.text('failed', 500) : answerErrors()(error, c)))
  const server = await serve(app)
  try {
    const failed = await server.fetch('/fails')
    await failed.text()
    assert.equal(failed.status, 500)
    await until(() => own.endpoint('GET', '/fails')?.status['500'] === 1)
  } finally {
    await server.close()
  }
})

test('compresses answers in a coding that the client accepts', async ({ serve }) => {
  const server = await serve(createApp(new PerformanceMonitor({ sampleInterval: false })))
  try {
    // Clients of some runtimes decode by themselves, and then still show the header.
    const answer = await server.fetch('/users/a', { headers: { 'accept-encoding': 'gzip' } })
    const body = new Uint8Array(await answer.arrayBuffer())
    const text = new TextDecoder().decode(body[0] === 0x1f ? gunzipSync(body) : body)
    assert.match(text, /compressible/)
    const json = await compressJson(
      { text: 'compressible '.repeat(200) },
      new Request('http://x', { headers: { 'accept-encoding': 'br' } }),
    )
    assert.equal(json.headers['content-encoding'], 'br')
    assert.ok((json.body as Uint8Array).length < 300)
  } finally {
    await server.close()
  }
})

test('keeps the type of texts, which Bun does not show', async ({ serve }) => {
  const cache = createCache()
  const app = new Hono()
  app.onError(answerErrors())
  app.use(compressResponses({ threshold: 10_000 }))
  const routes = (path: string, middleware: MiddlewareHandler) => {
    app.get(`${path}/text`, middleware, (c) => c.text('a text'))
    app.get(`${path}/response`, middleware, () => new Response('a text'))
    app.get(`${path}/created`, middleware, () => new Response('a text', { status: 201 }))
    app.get(`${path}/error`, middleware, () => {
      throw new HTTPException(418, { message: 'a text' })
    })
  }
  routes('/plain', (_c, next) => next())
  routes('/cached', cacheResponses(cache))
  routes('/fresh', freshness(cache, { tags: ['texts'] }))
  const server = await serve(app)
  try {
    for (const path of ['/plain', '/cached', '/fresh']) {
      for (const kind of ['/text', '/response', '/created', '/error']) {
        // The second answer of `/cached` comes from the cache, and the third bypasses it.
        for (const headers of [{}, {}, { cookie: 'a=1' }] as Record<string, string>[]) {
          const answer = await server.fetch(path + kind, { headers: { ...headers, 'accept-encoding': 'gzip' } })
          assert.equal(await answer.text(), 'a text', path + kind)
          assert.match(answer.headers.get('content-type') ?? '', /^text\/plain;/, path + kind)
        }
      }
    }
  } finally {
    await server.close()
  }
})

test('compresses texts', async ({ serve }) => {
  const app = new Hono().use(compressResponses()).get('/', (c) => c.text('compressible '.repeat(200)))
  const server = await serve(app)
  try {
    const answer = await server.fetch('/', { headers: { 'accept-encoding': 'gzip' } })
    await answer.arrayBuffer()
    assert.equal(answer.headers.get('content-encoding'), 'gzip')
  } finally {
    await server.close()
  }
})
