import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, type Server, request as send } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { performance } from 'node:perf_hooks'
import { getRequestListener } from '@hono/node-server'
import express5 from 'express'
import express4 from 'express4'
import fastify from 'fastify'
import { Hono } from 'hono'
import { type MonitorOptions, PerformanceMonitor, type Warning } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { listen } from '../../support/listen.ts'

interface ShedOptions {
  readonly maxWait?: `${number}ms`
  readonly concurrency?: 'auto' | number | false
  readonly priority?: (request: unknown) => 'critical' | 'normal' | 'low'
  readonly retryAfter?: `${number}s`
}

/** What the application under test has between `monitorRequests` and `shedLoad`, and the body of its route `/work`. */
interface App {
  readonly monitor: PerformanceMonitor
  readonly shed: ShedOptions
  readonly work: (body: string, priority: string | undefined) => unknown
  readonly between?: boolean
  readonly mount?: string
}

const context = new AsyncLocalStorage<string>()

async function onExpressOf(
  express: typeof express5,
  { monitor, shed, work, between, mount = '/' }: App,
): Promise<Server> {
  const app = express()
  app.use(onExpress.monitorRequests(monitor))
  app.use((request, _response, next) => context.run(String(request.headers['x-name']), next))
  if (between !== true) {
    // The context must be there, but nothing may stand in between.
    const stack = ((app as { _router?: { stack: unknown[] } })._router ?? app.router).stack as { handle: unknown }[]
    stack.unshift(stack.pop()!)
  }
  app.use(onExpress.shedLoad(monitor, shed))
  app.use(mount, onExpress.performanceRoutes(monitor, { authorize: 'public' }))
  app.all('/work', async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    response.end(await work(body, request.headers['x-priority'] as string))
  })
  return createServer(app)
}

async function onFastifyOf({ monitor, shed, work, between }: App): Promise<Server> {
  const app = fastify()
  onTestFinished(() => app.close())
  const setContext = () => {
    app.addHook('onRequest', (request, _reply, done) => context.run(String(request.headers['x-name']), done))
  }
  if (between !== true) setContext()
  await app.register(onFastify.monitorRequests, { monitor })
  if (between === true) app.addHook('onRequest', async () => {})
  await app.register(onFastify.shedLoad, { monitor, ...shed })
  await app.register(onFastify.performanceRoutes, { monitor, authorize: 'public' })
  app.addContentTypeParser('text/plain', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  app.route({
    method: ['GET', 'POST'],
    url: '/work',
    handler: async (request) => work((request.body as string) ?? '', request.headers['x-priority'] as string),
  })
  await app.ready()
  return app.server
}

async function onHonoOf({ monitor, shed, work, between }: App): Promise<Server> {
  const app = new Hono()
  app.use(onHono.monitorRequests(monitor))
  if (between === true) app.use((_c, next) => next())
  app.use(onHono.shedLoad(monitor, shed))
  app.use(onHono.performanceRoutes(monitor, { authorize: 'public' }))
  app.all('/work', async (c) => c.body(String(await work(await c.req.text(), c.req.header('x-priority')))))
  const listener = getRequestListener(app.fetch)
  return createServer((request, response) => {
    context.run(String(request.headers['x-name']), () => void listener(request, response))
  })
}

const frameworks: Readonly<Record<string, (app: App) => Promise<Server>>> = {
  'Express 4': (app) => onExpressOf(express4 as unknown as typeof express5, app),
  'Express 5': (app) => onExpressOf(express5, app),
  Fastify: onFastifyOf,
  Hono: onHonoOf,
}

function makeMonitor(options: MonitorOptions = {}): { monitor: PerformanceMonitor; warnings: Warning[] } {
  const warnings: Warning[] = []
  const monitor = new PerformanceMonitor({
    sampleInterval: false,
    onWarn: (warning) => void warnings.push(warning),
    ...options,
  })
  onTestFinished(() => monitor.close())
  return { monitor, warnings }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly socket: unknown
}

interface AskOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly agent?: Agent
}

async function ask(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body, agent }: AskOptions = {},
): Promise<Answer> {
  const request = send({ port, host: '127.0.0.1', path, method, headers, agent: agent ?? false })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode!, headers: response.headers, body: text, socket: request.socket }
}

/** A route that answers only when told to. */
function gate(): { wait: () => Promise<string>; open: () => void; entered: () => number } {
  let open = () => {}
  let entered = 0
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return {
    wait: async () => {
      entered++
      await opened
      return 'done'
    },
    open,
    entered: () => entered,
  }
}

/** By the header, of the framework's own request. */
function priorityOf(request: unknown): 'critical' | 'normal' | 'low' {
  const { req, headers } = request as { req?: { header?(name: string): string }; headers?: Record<string, string> }
  return ((headers?.['x-priority'] ?? req?.header?.('x-priority')) as 'critical' | undefined) ?? 'normal'
}

describe.each(Object.entries(frameworks))('shedLoad on %s', (name, start) => {
  it('turns away what is over the limit, cheaply and politely', async () => {
    const { monitor, warnings } = makeMonitor()
    const { wait, open, entered } = gate()
    const port = await listen(await start({ monitor, shed: { concurrency: 1 }, work: wait }))
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())

    const second = await ask(port, '/work', { agent })
    const third = await ask(port, '/work', {
      agent,
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'x',
    })

    expect(second.status).toBe(503)
    expect(second.headers['content-type']).toBe('application/problem+json')
    expect(second.headers['cache-control']).toBe('no-store')
    expect(JSON.parse(second.body)).toMatchObject({ status: 503, title: 'Service Unavailable' })
    expect(third.status).toBe(503)
    expect(third.socket).toBe(second.socket)
    expect(monitor.admission()).toMatchObject({ limit: 1, inFlight: 1, shed: 2, waitMs: 0, state: 'shedding' })
    expect((await ask(port, '/health/live')).status).toBe(200)
    expect((await ask(port, '/performance/stats')).status).toBe(200)

    open()
    expect((await first).body).toBe('done')
    expect((await ask(port, '/work')).status).toBe(200)
    await expect.poll(() => monitor.admission().inFlight).toBe(0)
    expect(warnings).toEqual([])
  })

  it('turns away routes of the application that end like those of the monitor, before and after a first probe', async () => {
    const { monitor } = makeMonitor()
    const { wait, open, entered } = gate()
    const port = await listen(await start({ monitor, shed: { concurrency: 1 }, work: wait }))
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    for (let count = 0; count < 2; count++) {
      expect((await ask(port, '/patients/1/health')).status).toBe(503)
      expect((await ask(port, '/staff/1/performance?page=2')).status).toBe(503)
      expect((await ask(port, '/health/live?verbose=1')).status).toBe(200)
      expect((await ask(port, '/health/')).status).toBe(200)
    }
    open()
    await first
  })

  it('counts them apart from all others', async () => {
    const { monitor } = makeMonitor()
    const { wait, open, entered } = gate()
    const port = await listen(await start({ monitor, shed: { concurrency: 1 }, work: wait }))
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    for (let count = 0; count < 3; count++) await ask(port, '/work')
    open()
    await first
    await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)

    const { requests, endpoints, admission } = monitor.snapshot()
    expect(requests).toMatchObject({ total: 4, count: 1, shed: 3, aborted: 0, errorRate: 0, status: { '2xx': 1 } })
    expect(endpoints.map(({ route, count, shed }) => [route, count, shed])).toEqual([['/work', 1, 3]])
    expect([...monitor.otherOutcomes()]).toEqual([{ method: 'GET', route: '/work', outcome: 'shed', count: 3 }])
    expect(admission).toEqual(monitor.admission())
    expect(admission?.shedBy).toEqual([{ reason: 'concurrency', priority: 'normal', count: 3 }])
  })

  it('spreads Retry-After from the least to three times as much', async () => {
    const { monitor } = makeMonitor()
    const { wait, open, entered } = gate()
    const port = await listen(await start({ monitor, shed: { concurrency: 1, retryAfter: '2s' }, work: wait }))
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    const seconds = new Set<number>()
    for (let count = 0; count < 60; count++) seconds.add(Number((await ask(port, '/work')).headers['retry-after']))
    expect([...seconds].every((value) => Number.isInteger(value) && value >= 2 && value <= 6)).toBe(true)
    expect(seconds.size).toBeGreaterThan(2)
    open()
    await first
  })

  it('never turns critical requests away', async () => {
    const { monitor } = makeMonitor()
    const { wait, open, entered } = gate()
    const port = await listen(await start({ monitor, shed: { concurrency: 1, priority: priorityOf }, work: wait }))
    const first = ask(port, '/work', { headers: { 'x-priority': 'normal' } })
    await expect.poll(entered).toBe(1)
    const critical = ask(port, '/work', { headers: { 'x-priority': 'critical' } })
    await expect.poll(entered).toBe(2)
    expect((await ask(port, '/work', { headers: { 'x-priority': 'low' } })).status).toBe(503)
    open()
    expect([(await first).status, (await critical).status]).toEqual([200, 200])
    expect(monitor.admission().shedBy).toEqual([{ reason: 'concurrency', priority: 'low', count: 1 }])
  })

  it('takes a priority that throws, or is none, for normal and warns once', async () => {
    const { monitor, warnings } = makeMonitor()
    const { wait, open, entered } = gate()
    let calls = 0
    const priority = () => {
      if (calls++ === 0) throw new Error('no user')
      return 'urgent' as 'low'
    }
    const port = await listen(await start({ monitor, shed: { concurrency: 1, priority }, work: wait }))
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    expect((await ask(port, '/work')).status).toBe(503)
    expect((await ask(port, '/work')).status).toBe(503)
    expect(warnings.map(({ code, message }) => `${code} ${message}`)).toEqual([
      "SHED_PRIORITY The option `priority` of `shedLoad` threw no user; the request counts as 'normal'",
    ])
    open()
    await first
  })

  it('keeps context, body and order of requests that have to wait for their turn', async () => {
    const { monitor } = makeMonitor()
    const busy = (body: string) => {
      const end = performance.now() + 4
      while (performance.now() < end);
      return `${context.getStore()} ${body}`
    }
    const port = await listen(await start({ monitor, shed: {}, work: busy }))
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, number) =>
        ask(port, '/work', {
          method: 'POST',
          headers: { 'content-type': 'text/plain', 'x-name': `name ${number}` },
          body: `body ${number}`,
        }),
      ),
    )
    expect(answers.map(({ status, body }) => `${status} ${body}`)).toEqual(
      Array.from({ length: 12 }, (_, number) => `200 name ${number} body ${number}`),
    )
    expect(monitor.admission()).toMatchObject({ shed: 0, waitMs: 0 })
    await expect.poll(() => monitor.admission().inFlight).toBe(0)
  })

  it('starts requests that have to wait, though a test has replaced the timers of the process', async () => {
    vi.useFakeTimers()
    onTestFinished(() => {
      vi.useRealTimers()
    })
    const { monitor } = makeMonitor()
    const work = () => {
      const end = performance.now() + 10
      while (performance.now() < end);
      return 'done'
    }
    const port = await listen(await start({ monitor, shed: {}, work }))
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(port, '/work')))
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200))
    expect(monitor.inFlight).toBe(0)
  })

  it('keeps the order of pipelined requests that have to wait', async () => {
    const { monitor } = makeMonitor()
    const busy = (body: string) => {
      const end = performance.now() + 4
      while (performance.now() < end);
      return body
    }
    const port = await listen(await start({ monitor, shed: {}, work: busy }))
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    const heads = 'POST /work HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\n'
    socket.write(Array.from({ length: 9 }, (_, number) => `${heads}body ${number}`).join(''))
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    await expect.poll(() => text.match(/body \d/g)?.length).toBe(9)
    expect(text.match(/body \d/g)).toEqual(Array.from({ length: 9 }, (_, number) => `body ${number}`))
  })

  it('serves what it can, and all that is critical, when four times as much comes', async () => {
    const { monitor, warnings } = makeMonitor()
    const busy = () => {
      const end = performance.now() + 20
      while (performance.now() < end);
      return 'done'
    }
    const port = await listen(await start({ monitor, shed: { priority: priorityOf }, work: busy }))
    const agent = new Agent({ keepAlive: true })
    onTestFinished(() => agent.destroy())
    const answers: Promise<Answer>[] = []
    const critical: Promise<Answer>[] = []
    const health: Promise<Answer>[] = []
    // 5 requests of 20 ms each 25 ms, whatever comes back.
    for (let wave = 0; wave < 50; wave++) {
      for (let count = 0; count < 5; count++) answers.push(ask(port, '/work', { agent }))
      if (wave % 5 === 0) critical.push(ask(port, '/work', { agent, headers: { 'x-priority': 'critical' } }))
      if (wave % 10 === 0) health.push(ask(port, '/health/live'))
      await new Promise((resolve) => setTimeout(resolve, 25))
    }

    const statuses = (await Promise.all(answers)).map(({ status }) => status)
    const served = statuses.filter((status) => status === 200).length
    const refused = statuses.filter((status) => status === 503).length
    expect(served + refused).toBe(statuses.length)
    expect(served).toBeGreaterThan(10)
    expect(refused).toBeGreaterThan(50)
    expect(new Set((await Promise.all([...critical, ...health])).map(({ status }) => status))).toEqual(new Set([200]))
    await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)
    expect(monitor.admission()).toMatchObject({ inFlight: 0, shed: refused, waitMs: 0 })
    expect(monitor.snapshot().requests).toMatchObject({ shed: refused, count: served + critical.length })
    await expect.poll(() => monitor.admission().state).toBe('open')
    expect((await ask(port, '/work')).status).toBe(200)
    expect(warnings).toEqual([])
  })

  it('warns once when something stands between it and monitorRequests', async () => {
    const { monitor, warnings } = makeMonitor()
    const { wait, open, entered } = gate()
    const port = await listen(await start({ monitor, shed: { concurrency: 1 }, work: wait, between: true }))
    open()
    for (let count = 0; count < 3; count++) expect((await ask(port, '/work')).status).toBe(200)
    expect(entered()).toBe(3)
    expect(warnings.map(({ code }) => code)).toEqual(['SHED_LOAD_ORDER'])
  })

  it('alerts, reports overload and makes the instance unready if asked to', async () => {
    const clock = { now: 1_000_000 }
    const { monitor } = makeMonitor({ clock: () => clock.now, health: { unreadyWhenShedding: '0s' } })
    const { wait, open, entered } = gate()
    const port = await listen(await start({ monitor, shed: { concurrency: 1 }, work: wait }))
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    expect(monitor.overload()).toBeUndefined()
    expect((await ask(port, '/health/ready')).status).toBe(200)
    for (let count = 0; count < 30; count++) await ask(port, '/work')

    expect(monitor.overload()).toMatchObject({ kind: 'shedding', limit: 1 })
    expect((await ask(port, '/health/ready')).status).toBe(503)
    expect((await ask(port, '/health/live')).status).toBe(200)
    expect(monitor.alerts()).toMatchObject([
      { id: 'shedding', state: 'firing', value: 100, samples: 30, cause: { shedReason: 'concurrency' } },
    ])
    let text = ''
    for await (const piece of monitor.prometheus()) text += piece
    expect(text).toContain('posthaste_requests_shed_total{reason="concurrency",priority="normal"} 30\n')
    expect(text).toContain('posthaste_admission_limit 1\n')
    open()
    await first
  })

  it('is a TypeError without monitorRequests, and for wrong options', async () => {
    const { monitor } = makeMonitor()
    const use = async (shed: object, target: PerformanceMonitor) => {
      if (name === 'Fastify') {
        const app = fastify()
        if (target === monitor) await app.register(onFastify.monitorRequests, { monitor })
        await app.register(onFastify.shedLoad, { monitor: target, ...shed })
        return
      }
      const face = name === 'Hono' ? onHono : onExpress
      if (target === monitor) face.monitorRequests(monitor)
      face.shedLoad(target, shed)
    }
    await expect(use({}, makeMonitor().monitor)).rejects.toThrow(TypeError)
    await expect(use({}, makeMonitor().monitor)).rejects.toThrow('needs `monitorRequests`')
    await expect(use({ maxWait: 100 }, monitor)).rejects.toThrow(TypeError)
    await expect(use({ maxWait: '0ms' }, monitor)).rejects.toThrow(RangeError)
    await expect(use({ concurrency: 0 }, monitor)).rejects.toThrow(RangeError)
    await expect(use({ concurrency: true }, monitor)).rejects.toThrow(TypeError)
    await expect(use({ priority: 'low' }, monitor)).rejects.toThrow(TypeError)
    await expect(use({ retryAfter: 1 }, monitor)).rejects.toThrow(TypeError)
    await expect(use({ maxwait: '1s' }, monitor)).rejects.toThrow('did you mean `maxWait`')
    await expect(use({}, monitor)).resolves.toBeUndefined()
  })
})

const expresses = [
  ['Express 4', express4 as unknown as typeof express5],
  ['Express 5', express5],
] as const

describe.each(expresses)('shedLoad on %s', (_name, express) => {
  it('answers performance routes under a mount path, before and after their first request', async () => {
    const { monitor } = makeMonitor()
    const { wait, open, entered } = gate()
    const port = await listen(
      await onExpressOf(express, { monitor, shed: { concurrency: 1 }, work: wait, mount: '/ops' }),
    )
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    for (let count = 0; count < 2; count++) {
      expect((await ask(port, '/other/health/live')).status).toBe(503)
      expect((await ask(port, '/health/live')).status).toBe(503)
      expect((await ask(port, '/ops/health/live')).status).toBe(200)
      expect((await ask(port, '/ops/performance/stats?limit=1')).status).toBe(200)
    }
    open()
    await first
  })

  it.each([
    ['a router', true, () => express.Router()],
    ['an application, whose mount is known once it has answered', false, () => express()],
  ])('answers performance routes of %s', async (_kind, isSeen, inner) => {
    const { monitor } = makeMonitor()
    const { wait, open, entered } = gate()
    const app = express()
    app.use(onExpress.monitorRequests(monitor)).use(onExpress.shedLoad(monitor, { concurrency: 1 }))
    app.use('/:tenant/ops', inner().use(onExpress.performanceRoutes(monitor, { authorize: 'public' })))
    app.get('/work', (_request, response) => void wait().then((body) => response.end(body)))
    const port = await listen(createServer(app))
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    if (isSeen) expect((await ask(port, '/a/other/health')).status).toBe(503)
    expect((await ask(port, '/a/ops/health')).status).toBe(200)
    expect((await ask(port, '/a/other/health')).status).toBe(503)
    expect((await ask(port, '/a/ops/health')).status).toBe(200)
    open()
    await first
  })
})

describe('shedLoad on Fastify', () => {
  it('refuses over HTTP/2', async () => {
    const { monitor } = makeMonitor()
    const { wait, open, entered } = gate()
    const app = fastify({ http2: true })
    onTestFinished(() => app.close())
    await app.register(onFastify.monitorRequests, { monitor })
    await app.register(onFastify.shedLoad, { monitor, concurrency: 1, prefix: '/unused' })
    app.get('/work', wait)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const client = connectHttp2(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
    onTestFinished(() => client.close())
    const askHttp2 = async () => {
      const stream = client.request({ ':path': '/work' })
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
      stream.resume()
      await once(stream, 'end')
      return headers
    }
    const first = askHttp2()
    await expect.poll(entered).toBe(1)
    expect(await askHttp2()).toMatchObject({ ':status': 503, 'content-type': 'application/problem+json' })
    open()
    expect(await first).toMatchObject({ ':status': 200 })
    await expect.poll(() => monitor.snapshot().requests).toMatchObject({ inFlight: 0, count: 1, shed: 1 })
  })
})

describe('shedLoad on Hono', () => {
  it('answers performance routes of an application that is mounted, before and after their first request', async () => {
    const { monitor } = makeMonitor()
    const { wait, open, entered } = gate()
    const inner = new Hono().use(onHono.performanceRoutes(monitor, { authorize: 'public' }))
    const app = new Hono()
    app.use(onHono.monitorRequests(monitor)).use(onHono.shedLoad(monitor, { concurrency: 1 }))
    app.get('/work', async (c) => c.text(await wait()))
    app.mount('/ops', inner.fetch)
    const port = await listen(createServer(getRequestListener(app.fetch)))
    const first = ask(port, '/work')
    await expect.poll(entered).toBe(1)
    for (let count = 0; count < 2; count++) {
      expect((await ask(port, '/ops/health/live')).status).toBe(200)
      expect((await ask(port, '/other/health/live')).status).toBe(503)
    }
    open()
    await first
  })

  it('lets everything through where Node does not run the app, and says so', async () => {
    const { monitor, warnings } = makeMonitor()
    const app = new Hono()
    app.use(onHono.monitorRequests(monitor))
    app.use(onHono.shedLoad(monitor, { concurrency: 1 }))
    app.get('/', (c) => c.text('hello'))
    const answers = await Promise.all([app.request('/'), app.request('/'), app.request('/')])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(warnings.map(({ code }) => code)).toEqual(['SHED_LOAD_RUNTIME'])
  })
})
