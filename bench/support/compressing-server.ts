/** Answers of a length that the path tells, behind one middleware: `node compressing-server.ts <middleware>`. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import compression from 'compression'
import express from 'express'
import { compressResponses } from 'posthaste/express'
import { rowsOf } from './rows.ts'

const middlewares: Readonly<Record<string, () => express.RequestHandler | undefined>> = {
  none: () => undefined,
  posthaste: () => compressResponses() as unknown as express.RequestHandler,
  compression: () => compression(),
  // What no middleware can do without that knows only at the end what the head is to say.
  'Vary alone': () => (_request, response, next) => {
    const { writeHead } = response
    response.writeHead = (status: number) => {
      response.writeHead = writeHead
      return response.setHeader('vary', 'Accept-Encoding').writeHead(status)
    }
    next()
  },
  'posthaste, brotliQuality 2': () => compressResponses({ brotliQuality: 2 }) as unknown as express.RequestHandler,
}

const app = express().disable('etag').disable('x-powered-by')
const middleware = middlewares[process.argv[2] ?? '']?.()
if (middleware !== undefined) app.use(middleware)
const bodies = new Map<string, string>()
app.get('/:bytes', ({ params: { bytes } }, response) => {
  let body = bodies.get(bytes)
  if (body === undefined) {
    body = rowsOf(Number(bytes))
    bodies.set(bytes, body)
  }
  response.type('json').send(body)
})
const server = createServer(app).listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
process.on('message', () => process.send?.(process.cpuUsage()))
process.on('disconnect', () => process.exit())
