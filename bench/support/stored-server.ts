/** `GET /rows`: 100 rows as JSON in brotli, made once: `node stored-server.ts <way>`. */
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, constants } from 'node:zlib'
import express from 'express'
import { createCache, PerformanceMonitor } from 'posthaste'
import { cacheResponses, compressResponses, monitorRequests } from 'posthaste/express'
import { rowsOf } from './rows.ts'

const rows = rowsOf(10_000)
const bytes = brotliCompressSync(rows, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
/** The head that `cacheResponses` sends. */
const head = {
  'content-type': 'application/json; charset=utf-8',
  date: new Date().toUTCString(),
  etag: '"Zm9vYmFyYmF6cXV4cXV1eGNvcmd-br"',
  vary: 'Accept-Encoding',
  'content-encoding': 'br',
  'cache-status': 'posthaste; hit',
  age: '12',
}

const middleware = {
  monitor: () => monitorRequests(new PerformanceMonitor()) as unknown as express.RequestHandler,
  compression: () => compressResponses() as unknown as express.RequestHandler,
  cache: () => cacheResponses(createCache()) as unknown as express.RequestHandler,
}

function onExpress(...names: readonly (keyof typeof middleware)[]): RequestListener {
  const app = express()
  for (const name of names) app.use(middleware[name]())
  app.get('/rows', (_request, response) => {
    if (names.includes('cache')) response.type('json').send(rows)
    else response.set(head).send(bytes)
  })
  return app
}

const listeners: Readonly<Record<string, () => RequestListener>> = {
  Node: () => (_request, response) =>
    void response.writeHead(200, { ...head, 'content-length': bytes.length }).end(bytes),
  Express: () => onExpress(),
  'Express, mounted': () => onExpress('monitor', 'compression'),
  cached: () => onExpress('cache'),
  'cached, mounted': () => onExpress('monitor', 'compression', 'cache'),
}

const server = createServer(listeners[process.argv[2] ?? '']?.()).listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.on('message', () => process.send?.(process.cpuUsage()))
process.on('disconnect', () => process.exit())
