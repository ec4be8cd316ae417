import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import zlib from 'node:zlib'
import { serve } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask } from '../support/answering.ts'
import { listen } from '../support/listen.ts'

const text = 'the same again, '.repeat(200)
type Label = (path: string) => string | undefined

interface Options {
  readonly label?: Label
  readonly filter?: (header: (name: string) => unknown) => boolean
  readonly types?: (type: string) => boolean | undefined
}

/** One route, `/items/:id`, with a monitor and compression, that answers with text of the type in the query. */
const starts: Readonly<Record<string, (monitor: PerformanceMonitor, options: Options) => Promise<number>>> = {
  async Express(monitor, { label, filter, types }) {
    const app = express()
    app.use(onExpress.monitorRequests(monitor, { label: label && ((request) => label(request.originalUrl)) }))
    app.use(
      onExpress.compressResponses({
        types,
        filter: filter && ((_request, response) => filter((name) => response.getHeader(name))),
      }),
    )
    app.get('/items/:id', (request, response) => void response.type(String(request.query.type)).end(text))
    return listen(createServer(app))
  },
  async Fastify(monitor, { label, filter, types }) {
    const app = fastify({ forceCloseConnections: true })
    onTestFinished(() => app.close())
    await app.register(onFastify.monitorRequests, { monitor, label: label && (({ url }) => label(url)) })
    await app.register(onFastify.compressResponses, {
      types,
      filter: filter && ((_request, reply) => filter((name) => reply.getHeader(name))),
    })
    app.get('/items/:id', (request, reply) => reply.type((request.query as { type: string }).type).send(text))
    await app.listen({ port: 0, host: '127.0.0.1' })
    return (app.server.address() as AddressInfo).port
  },
  async Hono(monitor, { label, filter, types }) {
    const app = new Hono()
    app.use(onHono.monitorRequests(monitor, { label: label && ((c) => label(c.req.path)) }))
    app.use(
      onHono.compressResponses({ types, filter: filter && ((_c, { headers }) => filter((name) => headers.get(name))) }),
    )
    app.get('/items/:id', (c) => c.body(text, 200, { 'content-type': c.req.query('type') as string }))
    return listen(serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as ReturnType<typeof createServer>)
  },
}

function makeMonitor(): PerformanceMonitor {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  return monitor
}

describe.each(Object.entries(starts))('on %s', (_name, start) => {
  const codings = async (port: number, types: readonly string[]) => {
    const headers = { 'accept-encoding': 'gzip' }
    const received = types.map((type) => ask(port, { path: `/items/1?type=${encodeURIComponent(type)}`, headers }))
    return (await Promise.all(received)).map(({ headers }) => headers['content-encoding'])
  }

  it('counts a request under the label of the user, and under its pattern where there is none', async () => {
    const monitor = makeMonitor()
    const label = (path: string) => {
      if (path.startsWith('/items/3')) throw new Error('thrown')
      return path.startsWith('/items/1') ? 'the first' : undefined
    }
    const port = await start(monitor, { label })
    for (const id of [1, 2, 3]) await ask(port, { path: `/items/${id}?type=text/plain` })
    await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)
    const routes = monitor.snapshot().endpoints.map(({ route }) => route)
    expect(routes.sort()).toEqual(['(unmatched)', '/items/:id', 'the first'])
  })

  it('compresses the types that `types` allows, and those it leaves to us', async () => {
    const types = (type: string) => (type === 'application/x-own' ? true : type === 'text/css' ? false : undefined)
    const port = await start(makeMonitor(), { types })
    const asked = ['application/x-own; v=1', 'text/css', 'text/plain', 'image/png', 'application/x-ndjson']
    expect(await codings(port, asked)).toEqual(['gzip', undefined, 'gzip', undefined, 'gzip'])
  })

  it('leaves an answer as it is when `filter` says so', async () => {
    const filter = (header: (name: string) => unknown) => !String(header('content-type')).startsWith('text/html')
    const port = await start(makeMonitor(), { filter })
    expect(await codings(port, ['text/html', 'text/plain'])).toEqual([undefined, 'gzip'])
  })

  it('refuses options that are no functions', async () => {
    const wrong = 'no function' as never
    await expect(start(makeMonitor(), { types: wrong })).rejects.toThrow('Expected `types` to be a function')
  })
})

it('sends what `response.flush()` asks for at once, on Express', async () => {
  const app = express()
  app.use(onExpress.compressResponses())
  app.get('/', (_request, response) => {
    response.flush()
    response.type('text/plain')
    response.write('first')
    response.flush()
    response.flush()
  })
  const port = await listen(createServer(app))
  const { promise, resolve } = Promise.withResolvers<string>()
  const { get } = await import('node:http')
  const request = get({ port, host: '127.0.0.1', headers: { 'accept-encoding': 'gzip' } }, (response) => {
    const gunzip = response.pipe(zlib.createGunzip())
    gunzip.once('data', (chunk: Buffer) => resolve(String(chunk)))
    gunzip.on('error', () => {})
  })
  request.on('error', () => {})
  expect(await promise).toBe('first')
  request.destroy()
})

it('refuses a deadline of 0 ms, which would abandon every request', async () => {
  const monitor = makeMonitor()
  const sentence = 'Expected `deadline` to be longer than 0ms'
  expect(() => onExpress.monitorRequests(monitor, { deadline: '0ms' })).toThrow(new RangeError(sentence))
  expect(() => onHono.monitorRequests(monitor, { deadline: '0s' })).toThrow(sentence)
  const app = fastify()
  await expect(app.register(onFastify.monitorRequests, { monitor, deadline: '0ms' })).rejects.toThrow(sentence)
})
