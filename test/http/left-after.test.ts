import { once } from 'node:events'
import { connect } from 'node:net'
import { PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { answering, type Installation } from '../support/answering.ts'
import { until } from '../support/until.ts'

function measuring(monitor: PerformanceMonitor): Installation {
  return {
    express: (app) => void app.use(onExpress.monitorRequests(monitor)),
    fastify: async (app) => void (await app.register(onFastify.monitorRequests, { monitor })),
    hono: (app) => void app.use(onHono.monitorRequests(monitor)),
  }
}

/** Asks, and closes the connection once the answer has brought this text, as proxies do. */
async function readAndClose(port: number, end: string): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
  let received = ''
  socket.on('data', (piece) => {
    received += piece
    if (received.endsWith(end)) socket.destroy()
  })
  await once(socket, 'close')
  expect(received).toMatch(new RegExp(`${end}$`))
}

describe.each(Object.keys(answering))('`monitorRequests` on %s', (name) => {
  it.each([
    ['completed', 'all of the declared body', 'whole body', { count: 1, aborted: 0, inFlight: 0 }],
    ['aborted', 'a part of it', 'whole', { count: 0, aborted: 1, inFlight: 0 }],
  ])(
    'counts a request as %s whose client left when it had %s, before the handler ended it',
    async (_outcome, _what, piece, requests) => {
      const monitor = new PerformanceMonitor({ sampleInterval: false })
      const gate = Promise.withResolvers<void>()
      async function* pieces() {
        yield piece
        await gate.promise
      }
      const headers = { 'content-type': 'text/plain', 'content-length': String('whole body'.length) }
      const { port, close } = await answering[name]!(() => ({ headers, pieces }), measuring(monitor))
      onTestFinished(async () => {
        gate.resolve()
        await close()
        await monitor.close()
      })
      await readAndClose(port, piece)
      await until(() => monitor.snapshot().requests.inFlight === 0)
      expect(monitor.snapshot().requests).toMatchObject(requests)
    },
  )
})
