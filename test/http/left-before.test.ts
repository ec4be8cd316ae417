import { PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { askAndLeave } from '../scope/support/servers.ts'
import { type Answerer, answering, ask, type Installation } from '../support/answering.ts'
import { until } from '../support/until.ts'

/** Middleware that waits before `monitorRequests`, as one that asks a store for the session. */
function waitBefore(monitor: PerformanceMonitor, wait: () => Promise<void>): Installation {
  return {
    express(app) {
      app.use((_request, _response, next) => void wait().then(() => next()))
      app.use(onExpress.monitorRequests(monitor))
    },
    async fastify(app) {
      app.addHook('onRequest', () => wait())
      await app.register(onFastify.monitorRequests, { monitor })
    },
  }
}

describe.each(['Express 4', 'Express 5', 'Fastify'])('`monitorRequests` on %s', (name) => {
  it('counts a request whose client has left before it, and keeps none in flight', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const gate = Promise.withResolvers<void>()
    let waiting = 0
    const wait = () => {
      waiting += 1
      return waiting === 1 ? gate.promise : Promise.resolve()
    }
    const answer: Answerer = () => ({ body: 'text' })
    const { port, close } = await answering[name]!(answer, waitBefore(monitor, wait))
    onTestFinished(async () => {
      await close()
      await monitor.close()
    })
    await askAndLeave(
      `http://127.0.0.1:${port}/left`,
      until(() => waiting === 1),
    )
    // The server hears of it before it has answered another connection.
    await ask(port, { path: '/stayed' })
    gate.resolve()
    await until(() => monitor.snapshot().requests.aborted === 1)
    expect(monitor.snapshot().requests).toMatchObject({ count: 1, aborted: 1, inFlight: 0 })
  })
})

describe.each(['Express 4', 'Express 5', 'Fastify'])('`performanceRoutes` on %s', (name) => {
  it('keeps no place for live pages whose clients left while `authorize` was asked, and gives no error', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const gate = Promise.withResolvers<boolean>()
    const errors: unknown[] = []
    let asked = 0
    const authorize = () => {
      asked += 1
      return asked <= 10 ? gate.promise : true
    }
    const installation: Installation = {
      express(app) {
        app.use(onExpress.performanceRoutes(monitor, { authorize }))
        app.use(((error, _request, _response, next) => {
          errors.push(error)
          next(error)
        }) as onExpress.ErrorHandler)
      },
      async fastify(app) {
        app.addHook('onError', async (_request, _reply, error) => void errors.push(error))
        await app.register(onFastify.performanceRoutes, { monitor, authorize })
      },
    }
    const { port, close } = await answering[name]!(() => ({ body: 'text' }), installation)
    onTestFinished(async () => {
      await close()
      await monitor.close()
    })
    const stream = `http://127.0.0.1:${port}/performance/stream`
    const allAsked = until(() => asked === 10)
    await Promise.all(Array.from({ length: 10 }, () => askAndLeave(stream, allAsked)))
    // The server hears of it before it has answered another connection.
    await ask(port, { path: '/stayed' })
    gate.resolve(true)
    const { status, body } = await fetch(stream)
    await body?.cancel()
    expect([status, errors]).toEqual([200, []])
  })
})
