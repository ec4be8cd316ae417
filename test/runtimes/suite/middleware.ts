import assert from 'node:assert/strict'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createCache, PerformanceMonitor } from 'posthaste'
import { cacheResponses, compressResponses, type ExpressRequest, monitorRequests } from 'posthaste/express'
import { test } from './suite.ts'

const text = 'compressible '.repeat(200)

const handlers: Readonly<Record<string, (response: ServerResponse) => void>> = {
  '/long': (response) => response.end(text),
  '/short': (response) => response.end('short'),
  '/written': (response) => {
    response.writeHead(201, 'Fine', { 'content-type': 'text/plain', 'x-written': '1' })
    response.end(text)
  },
  '/pieces': (response) => {
    response.write('first ')
    response.end('last')
  },
}

/** A server of `node:http` that calls the middleware as Express does. */
async function listen(): Promise<{ url: string; monitor: PerformanceMonitor; close(): Promise<void> }> {
  const { createServer } = await import('node:http')
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  const cache = createCache()
  const middleware = [monitorRequests(monitor), compressResponses(), cacheResponses(cache)]
  const server: Server = createServer((message: IncomingMessage, response) => {
    const path = message.url ?? ''
    const request = Object.assign(message, { path, originalUrl: path }) as unknown as ExpressRequest
    response.setHeader('content-type', 'text/plain')
    const run = (index: number): void => {
      const next = middleware[index]
      if (next === undefined) handlers[path]?.(response)
      else next(request, response, () => run(index + 1))
    }
    run(0)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    monitor,
    async close() {
      server.closeAllConnections()
      server.close()
      await monitor.close()
      await cache.close()
    },
  }
}

test(
  'answers through the middleware for Express, with and without compression',
  async ({ name }) => {
    const server = await listen()
    const ask = async (path: string, coding: string) => {
      const headers = { 'accept-encoding': coding, connection: 'close' }
      const response = await fetch(server.url + path, { headers, signal: AbortSignal.timeout(5_000) })
      return { response, body: await response.text() }
    }
    try {
      // The second answer of each comes from the cache, if it may.
      for (const coding of ['identity', 'identity', 'gzip', 'gzip']) {
        assert.equal((await ask('/long', coding)).body, text)
        assert.equal((await ask('/short', coding)).body, 'short')
        assert.equal((await ask('/pieces', coding)).body, 'first last')
        const { response, body } = await ask('/written', coding)
        assert.deepEqual([response.status, response.headers.get('x-written')], [201, '1'])
        // Deno itself sends no other phrase than that of the status.
        if (name !== 'deno') assert.equal(response.statusText, 'Fine')
        assert.equal(body, text)
      }
      assert.match((await ask('/long', 'gzip')).response.headers.get('cache-status') ?? '', /hit/)
    } finally {
      await server.close()
    }
  },
  { workers: 'servers of `node:http`' },
)
